//! Files and folders as they are now, and what of them is on the disk.

use rand::{RngExt as _, rngs::StdRng};
use std::{
    collections::{BTreeMap, HashMap},
    ffi::{OsStr, OsString},
    fs::Permissions,
    io,
    os::unix::fs::PermissionsExt,
    path::Path,
};

pub(super) type Number = u64;

pub(super) const ROOT: Number = 1;

/// A disk writes this much or nothing.
const SECTOR: usize = 512;

/// What a cut leaves of the changes that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// None of them.
    Nothing,
    /// All up to some moment, the last one perhaps torn: a disk that writes in order.
    UpToAMoment,
    /// Each by chance, whole, in some of its sectors, or not at all: a disk that writes as it likes.
    Any,
}

impl Kept {
    pub(super) const ALL: [Self; 3] = [Self::Nothing, Self::UpToAMoment, Self::Any];
}

/// Something that happened and was not synced yet. `at` counts all changes of the disk.
#[derive(Clone, Debug)]
struct Unsynced<T> {
    at: u64,
    change: T,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

/// A name that leads to this node from now on, or nowhere.
type Naming = (OsString, Option<Number>);

#[derive(Debug)]
pub(super) struct Node {
    pub(super) mode: u32,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    File { now: Vec<u8>, kept: Vec<u8>, unsynced: Vec<Unsynced<Change>> },
    Folder { now: BTreeMap<OsString, Number>, kept: BTreeMap<OsString, Number>, unsynced: Vec<Unsynced<Naming>> },
}

impl Node {
    pub(super) fn is_folder(&self) -> bool {
        matches!(self.kind, Kind::Folder { .. })
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match &self.kind {
            Kind::File { now, .. } => now,
            Kind::Folder { .. } => &[],
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = (&OsString, Number)> {
        let names = match &self.kind {
            Kind::Folder { now, .. } => Some(now),
            Kind::File { .. } => None,
        };
        names.into_iter().flatten().map(|(name, number)| (name, *number))
    }
}

/// Nodes are never forgotten: a name that is gone now may still be the one on the disk.
#[derive(Debug)]
pub(super) struct Tree {
    nodes: HashMap<Number, Node>,
    next: Number,
    changes: u64,
}

impl Tree {
    pub(super) fn new() -> Self {
        Self { nodes: HashMap::from([(ROOT, folder(0o755))]), next: ROOT + 1, changes: 0 }
    }

    pub(super) fn node(&self, number: Number) -> Option<&Node> {
        self.nodes.get(&number)
    }

    pub(super) fn find(&self, parent: Number, name: &OsStr) -> Option<Number> {
        match &self.nodes.get(&parent)?.kind {
            Kind::Folder { now, .. } => now.get(name).copied(),
            Kind::File { .. } => None,
        }
    }

    pub(super) fn make_file(&mut self, parent: Number, name: &OsStr, mode: u32) -> Number {
        self.make(parent, name, Node { mode, kind: Kind::File { now: vec![], kept: vec![], unsynced: vec![] } })
    }

    pub(super) fn make_folder(&mut self, parent: Number, name: &OsStr, mode: u32) -> Number {
        self.make(parent, name, folder(mode))
    }

    fn make(&mut self, parent: Number, name: &OsStr, node: Node) -> Number {
        let number = self.next;
        self.next += 1;
        self.nodes.insert(number, node);
        self.name(parent, name, Some(number));
        number
    }

    /// Makes a name lead somewhere, or nowhere.
    pub(super) fn name(&mut self, parent: Number, name: &OsStr, node: Option<Number>) {
        self.changes += 1;
        let at = self.changes;
        if let Some(Node { kind: Kind::Folder { now, unsynced, .. }, .. }) = self.nodes.get_mut(&parent) {
            apply_naming(now, &(name.to_owned(), node));
            unsynced.push(Unsynced { at, change: (name.to_owned(), node) });
        }
    }

    pub(super) fn set_mode(&mut self, number: Number, mode: u32) {
        if let Some(node) = self.nodes.get_mut(&number) {
            node.mode = mode;
        }
    }

    pub(super) fn write(&mut self, number: Number, offset: usize, bytes: &[u8]) {
        self.change(number, Change::Write { offset, bytes: bytes.to_owned() });
    }

    pub(super) fn set_length(&mut self, number: Number, length: usize) {
        self.change(number, Change::Length(length));
    }

    fn change(&mut self, number: Number, change: Change) {
        self.changes += 1;
        let at = self.changes;
        if let Some(Node { kind: Kind::File { now, unsynced, .. }, .. }) = self.nodes.get_mut(&number) {
            apply(now, &change, None);
            unsynced.push(Unsynced { at, change });
        }
    }

    /// What [`Self::sync`] is to be given when the sync that begins now has ended.
    pub(super) fn moment(&self) -> u64 {
        self.changes
    }

    /// What was changed in the file or folder up to this moment is on the disk.
    pub(super) fn sync(&mut self, number: Number, moment: u64) {
        match self.nodes.get_mut(&number).map(|node| &mut node.kind) {
            Some(Kind::File { kept, unsynced, .. }) => {
                for done in unsynced.extract_if(.., |unsynced| unsynced.at <= moment) {
                    apply(kept, &done.change, None);
                }
            }
            Some(Kind::Folder { kept, unsynced, .. }) => {
                for done in unsynced.extract_if(.., |unsynced| unsynced.at <= moment) {
                    apply_naming(kept, &done.change);
                }
            }
            None => {}
        }
    }

    /// What is there after a cut now.
    pub(super) fn image(&self, kept: Kept, chance: &mut StdRng) -> Image {
        let moment = chance.random_range(self.oldest_unsynced()..=self.changes);
        self.image_of(ROOT, &mut |at| match kept {
            Kept::Nothing => Fate::Lost,
            Kept::UpToAMoment if at < moment => Fate::Whole,
            Kept::UpToAMoment if at == moment => Fate::Torn(chance.random()),
            Kept::UpToAMoment => Fate::Lost,
            Kept::Any => match chance.random_range(0..5) {
                0 | 1 => Fate::Whole,
                2 => Fate::Torn(chance.random()),
                _ => Fate::Lost,
            },
        })
    }

    fn oldest_unsynced(&self) -> u64 {
        let oldest = self.nodes.values().filter_map(|node| match &node.kind {
            Kind::File { unsynced, .. } => unsynced.first().map(|first| first.at),
            Kind::Folder { unsynced, .. } => unsynced.first().map(|first| first.at),
        });
        oldest.min().unwrap_or(self.changes)
    }

    fn image_of(&self, number: Number, fate: &mut impl FnMut(u64) -> Fate) -> Image {
        let Some(node) = self.nodes.get(&number) else { return Image::File { mode: 0o600, bytes: vec![] } };
        match &node.kind {
            Kind::File { kept, unsynced, .. } => {
                let mut bytes = kept.clone();
                for Unsynced { at, change } in unsynced {
                    match fate(*at) {
                        Fate::Whole => apply(&mut bytes, change, None),
                        Fate::Torn(sectors) => apply(&mut bytes, change, Some(sectors)),
                        Fate::Lost => {}
                    }
                }
                Image::File { mode: node.mode, bytes }
            }
            Kind::Folder { kept, unsynced, .. } => {
                let mut names = kept.clone();
                for Unsynced { at, change } in unsynced {
                    // A name is never torn.
                    if !matches!(fate(*at), Fate::Lost) {
                        apply_naming(&mut names, change);
                    }
                }
                let mut entries = Vec::with_capacity(names.len());
                for (name, number) in names {
                    entries.push((name, self.image_of(number, fate)));
                }
                Image::Folder { mode: node.mode, entries }
            }
        }
    }
}

/// What becomes of one change.
enum Fate {
    Whole,
    /// The sectors whose bit is set, again and again.
    Torn(u64),
    Lost,
}

fn folder(mode: u32) -> Node {
    Node { mode, kind: Kind::Folder { now: BTreeMap::new(), kept: BTreeMap::new(), unsynced: vec![] } }
}

fn apply_naming(names: &mut BTreeMap<OsString, Number>, (name, node): &Naming) {
    match node {
        Some(node) => names.insert(name.clone(), *node),
        None => names.remove(name),
    };
}

/// `only_sectors`: bit n for the nth sector of the write, modulo 64.
fn apply(file: &mut Vec<u8>, change: &Change, only_sectors: Option<u64>) {
    match change {
        Change::Length(length) => file.resize(*length, 0),
        Change::Write { offset, bytes } => {
            let end = offset + bytes.len();
            if file.len() < end {
                file.resize(end, 0);
            }
            for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                if only_sectors.is_none_or(|sectors| sectors >> (number % 64) & 1 == 1) {
                    let at = offset + number * SECTOR;
                    file[at..at + sector.len()].copy_from_slice(sector);
                }
            }
        }
    }
}

/// What survived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Image {
    File { mode: u32, bytes: Vec<u8> },
    Folder { mode: u32, entries: Vec<(OsString, Image)> },
}

impl Image {
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        let mode = match self {
            Self::File { mode, bytes } => {
                std::fs::write(path, bytes)?;
                mode
            }
            Self::Folder { mode, entries } => {
                std::fs::create_dir(path)?;
                for (name, image) in entries {
                    image.write(&path.join(name))?;
                }
                mode
            }
        };
        std::fs::set_permissions(path, Permissions::from_mode(mode & 0o7777))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    fn survives(tree: &Tree, path: &[&str]) -> Option<Vec<u8>> {
        let mut image = tree.image(Kept::Nothing, &mut StdRng::seed_from_u64(1));
        for name in path {
            let Image::Folder { entries, .. } = image else { return None };
            image = entries.into_iter().find(|(entry, _)| entry == name)?.1;
        }
        match image {
            Image::File { bytes, .. } => Some(bytes),
            Image::Folder { .. } => None,
        }
    }

    fn sync(tree: &mut Tree, number: Number) {
        tree.sync(number, tree.moment());
    }

    #[test]
    fn a_file_needs_its_own_sync_and_that_of_every_folder_above_it() {
        let mut tree = Tree::new();
        let folder = tree.make_folder(ROOT, "ab".as_ref(), 0o700);
        let file = tree.make_file(folder, "new".as_ref(), 0o600);
        tree.write(file, 0, b"content");
        sync(&mut tree, file);
        assert_eq!(survives(&tree, &["ab", "new"]), None);
        sync(&mut tree, folder);
        assert_eq!(survives(&tree, &["ab", "new"]), None, "the folder's own name is not on the disk");
        sync(&mut tree, ROOT);
        assert_eq!(survives(&tree, &["ab", "new"]).unwrap(), b"content");
        tree.write(file, 7, b", and more");
        tree.name(folder, "new".as_ref(), None);
        tree.name(folder, "old".as_ref(), Some(file));
        assert_eq!(survives(&tree, &["ab", "new"]).unwrap(), b"content");
        sync(&mut tree, folder);
        assert_eq!(survives(&tree, &["ab", "new"]), None);
        assert_eq!(survives(&tree, &["ab", "old"]).unwrap(), b"content", "its content is as it was synced");
    }

    #[test]
    fn what_is_changed_during_a_sync_is_not_covered_by_it() {
        let mut tree = Tree::new();
        let file = tree.make_file(ROOT, "log".as_ref(), 0o600);
        tree.write(file, 0, b"first");
        let begun = tree.moment();
        tree.write(file, 5, b" second");
        tree.sync(file, begun);
        sync(&mut tree, ROOT);
        assert_eq!(survives(&tree, &["log"]).unwrap(), b"first");
    }

    #[test]
    fn a_cut_by_chance_gives_old_and_new_sectors_and_nothing_else() {
        let mut tree = Tree::new();
        let file = tree.make_file(ROOT, "pages".as_ref(), 0o600);
        tree.write(file, 0, &[1; 4096]);
        sync(&mut tree, file);
        sync(&mut tree, ROOT);
        tree.write(file, 0, &[2; 4096]);
        let mut torn = 0;
        for seed in 0..100 {
            let Image::Folder { entries, .. } = tree.image(Kept::Any, &mut StdRng::seed_from_u64(seed)) else {
                panic!()
            };
            let [(_, Image::File { bytes, .. })] = &entries[..] else { panic!("{entries:?}") };
            assert_eq!(bytes.len(), 4096);
            assert!(bytes.chunks(SECTOR).all(|sector| sector == [1; SECTOR] || sector == [2; SECTOR]));
            torn += u32::from(bytes.contains(&1) && bytes.contains(&2));
        }
        assert!(torn > 5, "{torn}");
    }
}
