//! Which names does a door know? Tests listen while it reads, and compare them with what the document tells.

use std::cell::RefCell;
use std::collections::BTreeSet;

/// Names of one table of parameters.
pub(crate) type Names = BTreeSet<String>;

thread_local! {
    /// Tables that are being read, the outermost first.
    static OPEN: RefCell<Vec<Names>> = const { RefCell::new(Vec::new()) };
    /// Tables that were read, in the order in which they were done with: inner ones first.
    static DONE: RefCell<Vec<Names>> = const { RefCell::new(Vec::new()) };
}

/// A table is going to be read.
pub(crate) fn begin() {
    OPEN.with_borrow_mut(|open| open.push(Names::new()));
}

/// A name is looked for in the innermost table that is open.
pub(crate) fn name(name: &str) {
    OPEN.with_borrow_mut(|open| {
        if let Some(table) = open.last_mut() {
            table.insert(name.to_owned());
        }
    });
}

/// The innermost table is done with; these names may have stood there as well.
pub(crate) fn end<'a>(more: impl Iterator<Item = &'a str>) {
    more.for_each(name);
    let table = OPEN.with_borrow_mut(Vec::pop).unwrap_or_default();
    DONE.with_borrow_mut(|done| done.push(table));
}

/// The tables that are read by `reading`, which must end well: then all of them were looked for.
pub(crate) fn while_reading<T, E: std::fmt::Debug>(reading: impl FnOnce() -> Result<T, E>) -> Vec<Names> {
    OPEN.take();
    DONE.take();
    if let Err(error) = reading() {
        panic!("the door refuses it: {error:?}");
    }
    DONE.take()
}
