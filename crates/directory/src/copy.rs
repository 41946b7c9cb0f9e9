//! Copies a directory durably, keeping what the hash is made of.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use crate::digest::{Kind, Tree};

/// Copies `tree` of `from` to the new directory `to`. Nothing in it can be written to afterwards but by changing its mode first.
pub(crate) fn copy(tree: &Tree, from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir(to)?;
    for entry in &tree.entries {
        let (source, target) = (from.join(&entry.path), to.join(&entry.path));
        match &entry.kind {
            Kind::Directory => fs::create_dir(&target)?,
            Kind::Link { target: points_to } => symlink(points_to, &target)?,
            Kind::File { executable } => {
                io::copy(&mut File::open(&source)?, &mut File::create_new(&target)?)?;
                let mode = if *executable { 0o555 } else { 0o444 };
                fs::set_permissions(&target, Permissions::from_mode(mode))?;
                File::open(&target)?.sync_all()?;
            }
        }
    }
    for entry in tree.entries.iter().rev().filter(|entry| entry.kind == Kind::Directory) {
        File::open(to.join(&entry.path))?.sync_all()?;
    }
    File::open(to)?.sync_all()
}
