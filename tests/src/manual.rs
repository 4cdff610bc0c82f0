//! The manual's pages, and what stands in them for machines: blocks with their language, and
//! code in the text.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};

/// Pages outside `docs/`.
const PAGES: [&str; 4] = [
    "README.md",
    "CONTRIBUTING.md",
    "bird-config/README.md",
    "packaging/README.md",
];

/// A page.
#[derive(Debug)]
pub struct Page {
    /// Where it lies in the checkout.
    pub name: String,
    /// As it is written.
    pub text: String,
}

/// A block of code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The page.
    pub page: String,
    /// The line in which it begins.
    pub line: usize,
    /// The word behind its fence; empty if there is none.
    pub language: String,
    /// What stands in it.
    pub text: String,
}

/// The checkout.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All of them.
pub fn pages() -> Result<Vec<Page>> {
    let mut names = PAGES.map(str::to_owned).to_vec();
    for directory in ["docs", "docs/runbooks"] {
        for entry in fs::read_dir(root().join(directory))? {
            let name = entry?.file_name();
            let name = name.to_str().context("a name in UTF-8")?;
            if Path::new(name)
                .extension()
                .is_some_and(|ending| ending == "md")
            {
                names.push(format!("{directory}/{name}"));
            }
        }
    }
    names.sort();
    names
        .into_iter()
        .map(|name| {
            let text = fs::read_to_string(root().join(&name)).with_context(|| name.clone())?;
            Ok(Page { name, text })
        })
        .collect()
}

impl Page {
    /// Its blocks, in order.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (event, place) in Parser::new(&self.text).into_offset_iter() {
            match event {
                Event::Start(Tag::CodeBlock(kind)) => {
                    open = Some(Block {
                        page: self.name.clone(),
                        line: self.text[..place.start].matches('\n').count() + 1,
                        language: match kind {
                            CodeBlockKind::Fenced(language) => language.into_string(),
                            CodeBlockKind::Indented => String::new(),
                        },
                        text: String::new(),
                    });
                }
                Event::Text(text) => {
                    if let Some(block) = &mut open {
                        block.text += &text;
                    }
                }
                Event::End(TagEnd::CodeBlock) => blocks.extend(open.take()),
                _ => {}
            }
        }
        blocks
    }

    /// Where its links lead.
    pub fn links(&self) -> Vec<String> {
        Parser::new(&self.text)
            .filter_map(|event| match event {
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    Some(dest_url.into_string())
                }
                _ => None,
            })
            .collect()
    }

    /// Its headings, as links name them: in small letters, with hyphens for spaces, without
    /// other marks.
    pub fn headings(&self) -> Vec<String> {
        let mut headings = Vec::new();
        let mut open: Option<String> = None;
        for event in Parser::new(&self.text) {
            match event {
                Event::Start(Tag::Heading { .. }) => open = Some(String::new()),
                Event::Text(text) | Event::Code(text) => {
                    if let Some(heading) = &mut open {
                        heading.extend(text.chars().filter_map(|letter| match letter {
                            ' ' => Some('-'),
                            '-' | '_' => Some(letter),
                            letter if letter.is_alphanumeric() => Some(letter.to_ascii_lowercase()),
                            _ => None,
                        }));
                    }
                }
                Event::End(TagEnd::Heading(_)) => headings.extend(open.take()),
                _ => {}
            }
        }
        headings
    }

    /// Code between backticks, each on one line.
    pub fn spans(&self) -> Vec<String> {
        Parser::new(&self.text)
            .filter_map(|event| match event {
                Event::Code(code) => Some(code.split_whitespace().collect::<Vec<_>>().join(" ")),
                _ => None,
            })
            .collect()
    }
}

/// The commands of a block, without comments.
pub fn commands(block: &str) -> impl Iterator<Item = &str> {
    block
        .lines()
        .map(|line| line.split(" #").next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_spans_are_found() {
        let page = Page {
            name: "page".to_owned(),
            text: "One `a\nb`.\n\n- in a list\n\n  ```sh\n  run this # why\n  # alone\n  ```\n\n```\nbare\n```\n"
                .to_owned(),
        };
        assert_eq!(page.spans(), ["a b"]);
        let blocks = page.blocks();
        let shown: Vec<(&str, usize, &str)> = blocks
            .iter()
            .map(|block| (&*block.language, block.line, &*block.text))
            .collect();
        assert_eq!(
            shown,
            [("sh", 6, "run this # why\n# alone\n"), ("", 11, "bare\n")]
        );
        assert_eq!(commands(&blocks[0].text).collect::<Vec<_>>(), ["run this"]);
    }
}
