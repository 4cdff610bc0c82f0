//! A kernel image and the modules that a link with programs on it needs.
//!
//! ```text
//! NAME/vmlinuz  NAME/modules/0-veth.ko ...  NAME/package (written last)
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::command;
use crate::kernels::archive::Archive;
use crate::kernels::catalog::Kernel;
use crate::kernels::unpack;

/// The link, and the qdisc and the classifier by which tc runs programs where there is
/// no tcx.
const MODULES: [&str; 3] = ["veth", "sch_ingress", "cls_bpf"];

/// Packages in which newer kernels keep what used to be in the image's.
const PARTS: [&str; 2] = ["linux-binary-", "linux-modules-"];

/// A kernel that is here.
#[derive(Debug, PartialEq, Eq)]
pub struct Image {
    directory: PathBuf,
    pub package: String,
    pub version: String,
}

/// A module as it goes into the guest.
pub struct Module {
    pub name: String,
    pub content: Vec<u8>,
}

/// The image that an earlier run fetched.
pub fn present(directory: &Path) -> Option<Image> {
    let stamp = fs::read_to_string(stamp(directory)).ok()?;
    let (package, version) = stamp.trim_end().split_once(' ')?;
    Some(Image {
        directory: directory.to_path_buf(),
        package: package.to_owned(),
        version: version.to_owned(),
    })
}

/// Fetches a kernel, unless what is here is the archive's newest.
pub fn fetch(kernel: &Kernel, archive: &Archive, directory: &Path) -> Result<Image> {
    archive.update()?;
    let names = archive.names("linux-image-")?;
    let Some(package) = kernel.newest(names.lines()) else {
        bail!("{} has no such kernel", kernel.suite.name);
    };
    let image = Image {
        directory: directory.to_path_buf(),
        package: package.to_owned(),
        version: archive.version(package)?,
    };
    if present(directory).as_ref() == Some(&image) {
        return Ok(image);
    }
    let mut packages = vec![package.to_owned()];
    packages.extend(
        archive
            .depends(package)?
            .into_iter()
            .filter(|name| PARTS.iter().any(|part| name.starts_with(part))),
    );
    let work = directory.join("unpack");
    let (debs, root) = (work.join("packages"), work.join("root"));
    remove(directory)?;
    fs::create_dir_all(&debs).with_context(|| format!("cannot create {}", debs.display()))?;
    archive.download(&packages, &debs)?;
    unpack::packages(&debs, &root)?;
    image.take(&root)?;
    remove(&work)?;
    let stamp_text = format!("{} {}\n", image.package, image.version);
    command::write_file(&stamp(directory), stamp_text.as_bytes())?;
    Ok(image)
}

impl Image {
    pub fn vmlinuz(&self) -> PathBuf {
        self.directory.join("vmlinuz")
    }

    /// The modules, in the order in which they are to be loaded.
    pub fn modules(&self) -> Result<Vec<Module>> {
        unpack::files(&self.module_directory(), |path| {
            unpack::has_extension(path, "ko")
        })?
        .into_iter()
        .map(|path| {
            Ok(Module {
                name: unpack::file_name(&path).into_owned(),
                content: unpack::content(&path)?,
            })
        })
        .collect()
    }

    fn module_directory(&self) -> PathBuf {
        self.directory.join("modules")
    }

    /// Takes what a guest needs out of the unpacked packages.
    fn take(&self, root: &Path) -> Result<()> {
        let kernels = unpack::files(root, |path| unpack::file_name(path).starts_with("vmlinuz"))?;
        let [vmlinuz] = kernels.as_slice() else {
            bail!("{} has {} kernels, not one", self.package, kernels.len());
        };
        command::write_file(&self.vmlinuz(), &unpack::content(vmlinuz)?)?;
        let tree = Tree::below(root)?;
        let mut modules = Vec::new();
        for module in MODULES {
            tree.add(module, &mut modules)?;
        }
        let directory = self.module_directory();
        fs::create_dir_all(&directory)
            .with_context(|| format!("cannot create {}", directory.display()))?;
        for (position, module) in modules.iter().enumerate() {
            let path = directory.join(format!("{position:02}-{}.ko", module.name));
            command::write_file(&path, &module.content)?;
        }
        Ok(())
    }
}

/// The modules of a kernel.
struct Tree {
    files: Vec<PathBuf>,
    /// Those that are part of the image, as the kernel's build lists them.
    built_in: String,
}

impl Tree {
    fn below(root: &Path) -> Result<Self> {
        let built_in = unpack::files(root, |path| unpack::file_name(path) == "modules.builtin")?;
        Ok(Self {
            files: unpack::files(root, |path| module_name(&unpack::file_name(path)).is_some())?,
            built_in: built_in
                .first()
                .map(fs::read_to_string)
                .transpose()
                .context("cannot read modules.builtin")?
                .unwrap_or_default(),
        })
    }

    /// Adds a module after what it depends on.
    fn add(&self, name: &str, modules: &mut Vec<Module>) -> Result<()> {
        let is_named = |file: &str| module_name(file) == Some(name);
        if modules.iter().any(|module| module.name == name)
            || self
                .built_in
                .lines()
                .any(|path| path.rsplit('/').next().is_some_and(is_named))
        {
            return Ok(());
        }
        let path = self
            .files
            .iter()
            .find(|path| is_named(&unpack::file_name(path)))
            .with_context(|| format!("the kernel has no module {name}"))?;
        let content = unpack::content(path)?;
        for dependency in dependencies(&content) {
            self.add(&dependency, modules)?;
        }
        modules.push(Module {
            name: name.to_owned(),
            content,
        });
        Ok(())
    }
}

/// The module in a file of this name.
fn module_name(file: &str) -> Option<&str> {
    file.strip_suffix(".xz").unwrap_or(file).strip_suffix(".ko")
}

/// The modules that a module says it depends on, in its `.modinfo`.
fn dependencies(module: &[u8]) -> Vec<String> {
    const FIELD: &[u8] = b"\0depends=";
    let Some(at) = module.windows(FIELD.len()).position(|part| part == FIELD) else {
        return Vec::new();
    };
    let value = module[at + FIELD.len()..]
        .split(|byte| *byte == 0)
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(value)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

fn stamp(directory: &Path) -> PathBuf {
    directory.join("package")
}

fn remove(directory: &Path) -> Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", directory.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_named_without_their_endings() {
        let cases = [
            ("veth.ko", Some("veth")),
            ("cls_bpf.ko.xz", Some("cls_bpf")),
            ("modules.builtin", None),
        ];
        for (file, expected) in cases {
            assert_eq!(module_name(file), expected, "{file}");
        }
    }

    #[test]
    fn dependencies_are_read_from_the_modules_description() {
        let cases: [(&[u8], &[&str]); 3] = [
            (b"x\0depends=\0retpoline=Y\0", &[]),
            (b"license=GPL\0depends=a,b_c\0name=x\0", &["a", "b_c"]),
            (b"no description", &[]),
        ];
        for (module, expected) in cases {
            assert_eq!(dependencies(module), expected);
        }
    }

    #[test]
    fn module_comes_after_what_it_depends_on_and_only_once() {
        let directory =
            std::env::temp_dir().join(format!("lapwing-modules-{}", std::process::id()));
        let tree = directory.join("kernel/net");
        for (name, depends) in [("a", "b,c"), ("b", "c"), ("c", "d")] {
            let content = format!("\0depends={depends}\0");
            command::write_file(&tree.join(format!("{name}.ko")), content.as_bytes())
                .expect("a file is written");
        }
        command::write_file(&directory.join("modules.builtin"), b"kernel/net/d.ko\n")
            .expect("a file is written");
        let mut modules = Vec::new();
        let result = Tree::below(&directory).and_then(|tree| {
            tree.add("a", &mut modules)?;
            tree.add("b", &mut modules)
        });
        remove(&directory).expect("the directory is removed");
        result.expect("all are there");
        let names: Vec<_> = modules.iter().map(|module| module.name.as_str()).collect();
        assert_eq!(names, ["c", "b", "a"]);
    }
}
