//! The whole pipeline on the vendored data, and what it does with damaged input.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use custos_multimodal::{
    Dataset, Evaluation, Model, RAW, STEPS, StepError, StepIo, run_step, write_raw_data,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Runs the steps named, each into the folder of its name below `home`.
fn run(home: &Path, steps: &[&str], seed: u64) -> Result<Vec<String>, StepError> {
    let mut lines = Vec::new();
    for name in steps {
        let step = STEPS.iter().find(|s| s.name == *name).unwrap();
        let inputs: Vec<PathBuf> = step.inputs.iter().map(|i| home.join(i)).collect();
        let io = StepIo {
            inputs,
            output: home.join(step.name),
            seed,
        };
        lines.extend(run_step(step.name, &io)?.lines);
        for output in step.outputs {
            assert!(io.output.join(output).exists(), "{name} left no {output}");
        }
    }
    Ok(lines)
}

fn raw_folder() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    write_raw_data(&home.path().join(RAW)).unwrap();
    home
}

/// The finished pipeline of seed 1, made once for all tests.
fn finished() -> &'static Path {
    static HOME: OnceLock<TempDir> = OnceLock::new();
    let home = HOME.get_or_init(|| {
        let home = raw_folder();
        let names: Vec<&str> = STEPS.iter().map(|s| s.name).collect();
        run(home.path(), &names, 1).unwrap();
        home
    });
    home.path()
}

fn evaluation(home: &Path) -> Evaluation {
    serde_json::from_slice(&fs::read(home.join("evaluate/evaluation.json")).unwrap()).unwrap()
}

/// Copies the folders named from the finished pipeline to a new home.
fn with_folders(names: &[&str]) -> TempDir {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let target = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    }
    let home = tempfile::tempdir().unwrap();
    for name in names {
        copy(&finished().join(name), &home.path().join(name));
    }
    home
}

fn change(path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    edit(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// The claim of the example: it learns, and both modalities together clearly beat either alone,
/// also a network trained for that one. The bounds leave room below the numbers in README.md.
#[test]
fn both_modalities_beat_either_alone() {
    let mut found = vec![evaluation(finished())];
    for seed in [2, 3] {
        let home = with_folders(&["features"]);
        run(home.path(), &["train", "evaluate"], seed).unwrap();
        found.push(evaluation(home.path()));
    }
    for e in &found {
        assert!(e.both.n >= 300, "{e:#?}");
        assert!(
            e.chance < 0.25 && e.both.accuracy > 0.62,
            "{:#?}",
            e.lines()
        );
        for single in [&e.image_only_trained_alone, &e.text_only_trained_alone] {
            assert!(single.interval95[0] > 1.5 * e.chance, "{:#?}", e.lines());
        }
        assert!(e.margin > 0.03, "{:#?}", e.lines());
    }
    let mean = found.iter().map(|e| e.margin).sum::<f64>() / 3.0;
    assert!(mean > 0.05, "mean margin {mean}");
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_another_model() {
    let home = raw_folder();
    let names: Vec<&str> = STEPS.iter().map(|s| s.name).collect();
    run(home.path(), &names, 1).unwrap();
    let files = |home: &Path| -> BTreeMap<String, Vec<u8>> {
        let steps = STEPS
            .iter()
            .flat_map(|s| s.outputs.iter().map(|o| format!("{}/{o}", s.name)));
        let paths = steps.filter(|p| home.join(p).is_file());
        paths
            .map(|p| (p.clone(), fs::read(home.join(&p)).unwrap()))
            .collect()
    };
    let (one, two) = (files(finished()), files(home.path()));
    assert_eq!(
        one.keys().collect::<Vec<_>>(),
        two.keys().collect::<Vec<_>>()
    );
    for (path, bytes) in &one {
        assert!(two[path] == *bytes, "{path} differs");
    }
    run(home.path(), &["train"], 2).unwrap();
    assert!(files(home.path())["train/model.safetensors"] != one["train/model.safetensors"]);
}

#[test]
fn the_dataset_says_what_it_is() {
    let bytes = fs::read(finished().join("ingest/dataset.json")).unwrap();
    let dataset: Dataset = serde_json::from_slice(&bytes).unwrap();
    assert_eq!((dataset.records, dataset.rows.len()), (1391, 1391));
    assert_eq!(dataset.classes.values().sum::<usize>(), 1391);
    assert_eq!(dataset.classes.len(), 8);
    assert!(dataset.origin.pairing.starts_with("Natural"));
    assert!(dataset.split.contains("family"));
    for license in &dataset.origin.licenses {
        assert!(finished().join("ingest").join(&license.file).exists());
    }
    // Every row digest can be computed from records.jsonl alone, here with another program's eyes.
    let text = fs::read_to_string(finished().join("ingest/records.jsonl")).unwrap();
    assert_eq!(text.lines().count(), 1391);
    for (line, row) in text.lines().zip(&dataset.rows) {
        assert!(line.contains(&format!("\"id\":\"{}\"", row.id)));
        assert_eq!(hex::encode(Sha256::digest(line.as_bytes())), row.sha256);
    }
}

#[test]
fn no_family_stands_on_both_sides_of_the_split() {
    let text = fs::read_to_string(finished().join("preprocess/records.jsonl")).unwrap();
    let mut parts = BTreeMap::new();
    for line in text.lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let part = record["part"].as_str().unwrap().to_owned();
        let family = record["family"].as_str().unwrap().to_owned();
        let other = parts.insert(family, part.clone());
        assert!(other.is_none_or(|p| p == part), "{line}");
    }
    let held_out = parts.values().filter(|p| *p == "held-out").count();
    assert!(
        held_out * 3 > parts.len() / 2 && held_out * 3 < parts.len(),
        "{held_out}"
    );
}

#[test]
fn the_packaged_model_reads_a_picture_and_a_name() {
    let package = finished().join("package");
    let model = Model::load(&fs::read(package.join("model.safetensors")).unwrap()).unwrap();
    let labels: Vec<String> =
        serde_json::from_slice(&fs::read(package.join("labels.json")).unwrap()).unwrap();
    assert_eq!(model.config().labels, labels);
    // `predict` from raw bytes gives what `evaluate` measured from the features.
    let text = fs::read_to_string(finished().join("ingest/records.jsonl")).unwrap();
    let parts = fs::read_to_string(finished().join("preprocess/records.jsonl")).unwrap();
    let mut right = 0;
    for (record, prepared) in text.lines().zip(parts.lines()) {
        if prepared.contains("held-out") {
            let record: serde_json::Value = serde_json::from_str(record).unwrap();
            let path = finished()
                .join("ingest")
                .join(record["image"].as_str().unwrap());
            let png = fs::read(path).unwrap();
            let found = model.predict(Some(&png), record["text"].as_str()).unwrap();
            right += usize::from(found.label == record["label"].as_str().unwrap());
        }
    }
    let measured = evaluation(finished());
    assert_eq!(right, measured.both.correct);
    let card = fs::read_to_string(package.join("README.md")).unwrap();
    assert!(
        card.contains(&format!("{:.1} %", 100.0 * measured.both.accuracy)),
        "{card}"
    );
}

#[test]
fn ingest_refuses_changed_missing_and_unlisted_files() {
    let home = raw_folder();
    let raw = home.path().join(RAW);
    let ingest = || run(home.path(), &["ingest"], 0).unwrap_err();

    change(&raw.join("images/1f34e.png"), |bytes| {
        *bytes.last_mut().unwrap() ^= 1;
    });
    let error = ingest();
    assert!(matches!(&error, StepError::DigestChanged { file, .. } if file == "images/1f34e.png"));
    assert!(error.to_string().contains("recorded is"), "{error}");

    fs::remove_file(raw.join("images/1f34e.png")).unwrap();
    let error = ingest();
    assert!(matches!(&error, StepError::FileMissing { file } if file == "images/1f34e.png"));

    write_raw_data(&raw).unwrap();
    fs::write(raw.join("images/extra.png"), b"x").unwrap();
    let error = ingest();
    assert!(matches!(&error, StepError::FileUnlisted { file } if file == "images/extra.png"));
    fs::remove_file(raw.join("images/extra.png")).unwrap();

    for (line, expect) in [
        ("0123  a.png", "lower-case hex"),
        ("no digest here", "two spaces"),
        (
            &format!("{}  ../../etc/passwd", "0".repeat(64)),
            "inside this folder",
        ),
        (
            &format!("{}  /etc/passwd", "0".repeat(64)),
            "inside this folder",
        ),
    ] {
        write_raw_data(&raw).unwrap();
        change(&raw.join("SHA256SUMS"), |bytes| {
            bytes
                .splice(0..0, format!("{line}\n").bytes())
                .for_each(drop);
        });
        let error = ingest();
        assert!(
            matches!(error, StepError::BadLine { line: 1, .. }),
            "{error}"
        );
        assert!(error.to_string().contains(expect), "{error}");
    }

    fs::remove_dir_all(&raw).unwrap();
    assert!(matches!(ingest(), StepError::Io { .. }));
}

#[test]
fn ingest_refuses_a_table_that_is_not_one() {
    let home = raw_folder();
    let raw = home.path().join(RAW);
    for (text, line) in [
        ("id,text\n", 1),
        ("id,image,text,label\n1f34e,images/1f34e.png,RED APPLE\n", 2),
        (
            "id,image,text,label\n1f34e,images/1f34e.png,\"RED\",Food & Drink\n",
            2,
        ),
        (
            "id,image,text,label\n1f34e,images/none.png,RED APPLE,Food & Drink\n",
            2,
        ),
    ] {
        write_raw_data(&raw).unwrap();
        let old = hex::encode(Sha256::digest(fs::read(raw.join("records.csv")).unwrap()));
        fs::write(raw.join("records.csv"), text).unwrap();
        let new = hex::encode(Sha256::digest(text.as_bytes()));
        let sums = fs::read_to_string(raw.join("SHA256SUMS")).unwrap();
        fs::write(raw.join("SHA256SUMS"), sums.replace(&old, &new)).unwrap();
        let error = run(home.path(), &["ingest"], 0).unwrap_err();
        assert!(
            matches!(error, StepError::BadLine { line: l, .. } if l == line),
            "{error}"
        );
    }
}

#[test]
fn preprocess_refuses_damaged_pictures_and_json() {
    let home = with_folders(&["ingest"]);
    let records = home.path().join("ingest/records.jsonl");
    let picture = home.path().join("ingest/images/1f34e.png");
    let preprocess = || run(home.path(), &["preprocess"], 0).unwrap_err();

    change(&picture, |bytes| bytes.truncate(100));
    assert!(matches!(preprocess(), StepError::DigestChanged { .. }));

    // A truncated picture whose digest was rewritten as well.
    let old = fs::read(finished().join("ingest/images/1f34e.png")).unwrap();
    let digest = |bytes: &[u8]| hex::encode(Sha256::digest(bytes));
    let text = fs::read_to_string(&records).unwrap();
    fs::write(&records, text.replace(&digest(&old), &digest(&old[..100]))).unwrap();
    let error = preprocess();
    assert!(
        matches!(&error, StepError::Image { record, .. } if record == "1f34e"),
        "{error}"
    );

    fs::remove_file(&picture).unwrap();
    let error = preprocess();
    assert!(
        matches!(&error, StepError::Io { path, .. } if *path == picture),
        "{error}"
    );

    fs::write(&records, "{\"id\": 7}\n").unwrap();
    let error = preprocess();
    assert!(matches!(&error, StepError::NotJson { line: 1, path, .. } if *path == records));

    fs::write(
        &records,
        text.replace("images/1f34e.png", "../raw/secret.png"),
    )
    .unwrap();
    assert!(matches!(preprocess(), StepError::BadLine { path, .. } if path == records));

    let one: Vec<&str> = text.lines().take(1).collect();
    fs::write(&records, one.concat()).unwrap();
    assert!(matches!(preprocess(), StepError::Inconsistent { .. }));
}

#[test]
fn later_steps_refuse_damaged_files() {
    let home = with_folders(&["preprocess", "features", "train", "evaluate"]);
    let at = |path: &str| home.path().join(path);
    let fails = |step| run(home.path(), &[step], 0).unwrap_err();

    change(&at("train/model.safetensors"), |bytes| {
        *bytes.last_mut().unwrap() ^= 1;
    });
    let error = fails("package");
    assert!(
        matches!(error, StepError::Inconsistent { .. }),
        "another model was evaluated: {error}"
    );

    change(&at("train/model.safetensors"), |bytes| bytes.truncate(5000));
    assert!(matches!(fails("evaluate"), StepError::Tensors { .. }));

    change(&at("features/train.safetensors"), |bytes| {
        bytes.truncate(5000);
    });
    assert!(matches!(fails("train"), StepError::Tensors { .. }));

    change(&at("preprocess/images.safetensors"), |bytes| {
        let text = String::from_utf8_lossy(&bytes[..200]).replace("\"U8\"", "\"I8\"");
        bytes.splice(..200, text.bytes().collect::<Vec<u8>>());
    });
    assert!(matches!(
        fails("features"),
        StepError::BadTensor { .. } | StepError::Tensors { .. }
    ));

    fs::write(at("features/features.json"), "[1, 2").unwrap();
    assert!(matches!(fails("train"), StepError::NotJson { .. }));
}

#[test]
fn misuse_is_named() {
    let io = StepIo {
        inputs: vec![],
        output: PathBuf::from("/nonexistent"),
        seed: 0,
    };
    assert!(matches!(
        run_step("deploy", &io),
        Err(StepError::UnknownStep { .. })
    ));
    let error = run_step("train", &io).unwrap_err();
    assert!(matches!(
        error,
        StepError::WrongInputs {
            step: "train",
            expected: 1,
            found: 0
        }
    ));
}
