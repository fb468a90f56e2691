//! Are two maps that are written one after the other one map to whoever reads them?

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use megabrain_schemas::{Codec, FaultKind};
use proptest::prelude::*;

type Fields = BTreeMap<String, Vec<u64>>;

/// Maps with keys of this pattern; up to 40 of them, so that MessagePack needs its longer head.
fn fields(keys: &'static str) -> impl Strategy<Value = Fields> {
    prop::collection::btree_map(keys, prop::collection::vec(any::<u64>(), 0..3), 0..40)
}

proptest! {
    #[test]
    fn the_reader_finds_the_fields_of_both(head in fields("h[a-z{}]{0,12}"), body in fields("b[a-z{}]{0,12}")) {
        for codec in [Codec::Json, Codec::MessagePack] {
            let joined: Fields = codec.decode(&codec.encode_joined(&head, &body).unwrap()).unwrap();
            let both: Fields = head.iter().chain(&body).map(|(key, value)| (key.clone(), value.clone())).collect();
            prop_assert_eq!(joined, both);
        }
    }
}

#[test]
fn what_is_no_map_is_a_fault() {
    for codec in [Codec::Json, Codec::MessagePack] {
        let fault = codec.encode_joined(&Fields::new(), &[1, 2]).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Engine);
    }
}
