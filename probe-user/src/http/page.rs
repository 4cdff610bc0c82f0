//! The files of the live page, inside the binary: it needs nothing from anywhere else, and
//! its policy tells the browser so.

use hyper::header::HeaderValue;

/// One of them.
pub struct File {
    /// What it is.
    pub content_type: HeaderValue,
    /// All of it.
    pub text: &'static str,
}

/// What the page may do: load its own files, and ask this daemon.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// The file at a path, if there is one.
pub fn file(path: &str) -> Option<File> {
    let (content_type, text) = match path {
        "/" => ("text/html; charset=utf-8", include_str!("page/index.html")),
        "/page.css" => ("text/css; charset=utf-8", include_str!("page/page.css")),
        "/page.js" => (
            "text/javascript; charset=utf-8",
            include_str!("page/page.js"),
        ),
        "/icon.svg" | "/favicon.ico" => ("image/svg+xml", include_str!("page/icon.svg")),
        _ => return None,
    };
    Some(File {
        content_type: HeaderValue::from_static(content_type),
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_small_and_needs_no_other_files() {
        let paths = ["/", "/page.css", "/page.js", "/icon.svg"];
        let texts = paths.map(|path| file(path).unwrap().text);
        assert!(texts.iter().map(|text| text.len()).sum::<usize>() < 60_000);
        for (path, text) in paths.iter().zip(texts) {
            let text = text.replace("http://www.w3.org/2000/svg", "");
            for foreign in ["http://", "https://", "src=\"//", "@import", "url("] {
                assert!(!text.contains(foreign), "{path}: {foreign}");
            }
        }
        // What `'self'` in the policy would refuse, and how text could become markup.
        let (page, script) = (texts[0], texts[2]);
        for refused in ["<style", "style=", "onclick", "<script>"] {
            assert!(!page.contains(refused), "{refused}");
        }
        for markup in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
        ] {
            assert!(!script.contains(markup), "{markup}");
        }
    }
}
