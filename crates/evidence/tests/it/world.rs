//! A small pipeline with real keys: who signs, what is made, and a log.

use std::path::PathBuf;
use std::sync::Arc;

use custos_core::clock::Timestamp;
use custos_core::crypto::{KeyKind, KeyPair};
use custos_core::digest::{Algorithm, DigestSet};
use custos_core::facts::Facts;
use custos_core::identity::ExpectedSigner;
use custos_core::lineage::NamedArtifact;
use custos_core::predicate::dataset::Dataset;
use custos_core::predicate::evaluation::{Evaluation, Metric, PlanReference};
use custos_core::predicate::evaluation_plan::{Direction, EvaluationPlan, PlannedMetric};
use custos_core::predicate::provenance::{BuildDefinition, Builder, Provenance, RunDetails};
use custos_core::predicate::step::{self, Declared, External, Internal, Isolation};
use custos_core::predicate::{self};
use custos_core::statement::{ResourceDescriptor, Statement};
use custos_evidence::gather::{Gathered, Question};
use custos_evidence::record::{Kept, Recording};
use custos_evidence::store::{Store, StoreOptions};
use custos_evidence::{Judge, TrustContext};
use custos_log::disk::sim::SimDisk;
use custos_log::note::KeyPairSigner;
use custos_log::{Log, LogOptions, Recorder as _};
use custos_trust::TrustRoot;
use custos_trust::signer::{KeySigner, Signer as _};
use custos_trust::verify::LogRequirement;

pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub const ORIGIN: &str = "example.com/log";

/// Keys, log, store, and the settings that name whom to expect.
pub struct World {
    pub dir: tempfile::TempDir,
    pub log: Log,
    pub store: Store,
    pub trust_root: TrustRoot,
    pub expected: Vec<ExpectedSigner>,
    pub judge: Judge,
    pub data: KeySigner,
    pub trainer: KeySigner,
    pub mallory: KeySigner,
}

pub fn key() -> KeySigner {
    KeySigner::new(KeyPair::generate(KeyKind::P256).unwrap())
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pair = KeyPair::generate(KeyKind::Ed25519).unwrap();
        let signer = Box::new(KeyPairSigner::new(ORIGIN, pair).unwrap());
        let log = Log::create(Arc::new(SimDisk::new(1)), signer, LogOptions::batch()).unwrap();
        let trust_root = TrustRoot::trusting_nothing()
            .with_log_key(&log.log_key().to_string())
            .unwrap();
        let path = dir.path().join("custos.db");
        let store = Store::open(&path, StoreOptions::read_write(), NOW).unwrap();
        let (data, trainer, mallory) = (key(), key(), key());
        let expected = vec![
            ExpectedSigner::key("data", data.public_key().clone()),
            ExpectedSigner::key("trainer", trainer.public_key().clone()),
        ];
        Self {
            dir,
            log,
            store,
            trust_root,
            expected,
            judge: Judge::new(),
            data,
            trainer,
            mallory,
        }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("custos.db")
    }

    pub fn record(&self, statement: &Statement, signer: &KeySigner) -> Kept {
        let recording = Recording {
            store: &self.store,
            signer,
            log: &self.log,
            now: NOW,
        };
        let kept = recording.record(std::slice::from_ref(statement)).unwrap();
        kept.into_iter().next().unwrap()
    }

    pub fn context(&self) -> TrustContext<'_> {
        TrustContext {
            trust_root: &self.trust_root,
            signers: &self.expected,
            log: LogRequirement::RequiredIn { origin: ORIGIN },
            origin: ORIGIN,
            log_size: self.log.head().unwrap().size,
            now: NOW,
        }
    }

    pub fn gather(&self, question: &Question) -> Gathered {
        self.store
            .gather(question, &self.context(), &self.judge)
            .unwrap()
    }

    pub fn facts(&self, artifact: NamedArtifact) -> Facts {
        self.gather(&Question::facts(artifact)).facts(None)
    }

    /// Data, clean, plan, train, evaluation: each signed by whom it should be.
    pub fn pipeline(&self) {
        self.record(&dataset(&raw()), &self.data);
        self.record(&provenance("clean", &[raw()], &[clean()]), &self.data);
        self.record(&write(&heldout(), &plan()), &self.data);
        self.record(&provenance("train", &[clean()], &[model()]), &self.trainer);
        self.record(&write(&model(), &evaluation()), &self.trainer);
    }
}

pub fn file(name: &str, content: &str) -> NamedArtifact {
    NamedArtifact::new(name, Algorithm::Sha256.digest(content.as_bytes()))
}

pub fn tree(name: &str, content: &str) -> NamedArtifact {
    let mut digest = DigestSet::from(Algorithm::Sha256.digest(content.as_bytes()));
    digest.insert_raw(
        "dirHash",
        Algorithm::Sha256.digest(name.as_bytes()).to_hex(),
    );
    NamedArtifact::new(name, digest)
}

pub fn raw() -> NamedArtifact {
    tree("data/raw", "raw")
}

pub fn clean() -> NamedArtifact {
    tree("data/clean", "clean")
}

pub fn heldout() -> NamedArtifact {
    tree("data/heldout", "heldout")
}

pub fn model() -> NamedArtifact {
    file("model.bin", "model")
}

pub fn descriptor(artifact: &NamedArtifact) -> ResourceDescriptor {
    ResourceDescriptor::new(artifact.name.as_str(), artifact.digest.clone())
}

pub fn write<P: predicate::Predicate>(subject: &NamedArtifact, predicate: &P) -> Statement {
    predicate::write(vec![descriptor(subject)], predicate).unwrap()
}

pub fn dataset(subject: &NamedArtifact) -> Statement {
    let dataset = Dataset {
        name: "pairs".into(),
        version: "1".into(),
        licence: "CC0-1.0".into(),
        sources: vec![ResourceDescriptor::default().with_uri("https://example.com/pairs")],
        records: 100,
        modalities: vec!["text".into()],
        pairing: None,
        splits: Vec::new(),
        rows: None,
    };
    write(subject, &dataset)
}

pub fn provenance(name: &str, inputs: &[NamedArtifact], outputs: &[NamedArtifact]) -> Statement {
    let declared = |artifacts: &[NamedArtifact]| {
        let named = artifacts.iter().map(|a| Declared {
            name: a.name.clone(),
            path: a.name.clone(),
        });
        named.collect()
    };
    let external = External {
        step: name.into(),
        command: vec!["run".into()],
        inputs: declared(inputs),
        products: declared(outputs),
        scratch: Vec::new(),
    };
    let internal = Internal {
        isolation: Isolation::None,
        environment: Vec::new(),
        exit_status: 0,
        notes: Vec::new(),
    };
    let data = inputs
        .iter()
        .map(|a| descriptor(a).with_annotation(step::ROLE, "input"));
    let script = descriptor(&file("script.py", "script")).with_annotation(step::ROLE, "script");
    let provenance = Provenance {
        build_definition: BuildDefinition {
            build_type: step::BUILD_TYPE.into(),
            external_parameters: step::parameters(&external),
            internal_parameters: step::parameters(&internal),
            resolved_dependencies: data.chain([script]).collect(),
        },
        run_details: RunDetails {
            builder: Builder {
                id: step::CLI_BUILDER.into(),
                ..Builder::default()
            },
            ..RunDetails::default()
        },
    };
    predicate::write(outputs.iter().map(descriptor).collect(), &provenance).unwrap()
}

pub fn plan() -> EvaluationPlan {
    EvaluationPlan {
        name: "release".into(),
        dataset: descriptor(&heldout()),
        method: "accuracy over the held-out rows".into(),
        metrics: vec![PlannedMetric {
            name: "accuracy".into(),
            slice: None,
            direction: Direction::HigherIsBetter,
            threshold: 0.8,
            min_n: Some(50),
        }],
    }
}

pub fn evaluation() -> Evaluation {
    Evaluation {
        plan: PlanReference {
            digest: predicate::digest(&plan()).unwrap().into(),
            log_index: None,
        },
        model: descriptor(&model()),
        dataset: descriptor(&heldout()),
        metrics: vec![
            Metric {
                name: "accuracy".into(),
                value: 0.9,
                n: 100,
                interval: None,
            },
            Metric {
                name: "unplanned".into(),
                value: 0.9,
                n: 100,
                interval: None,
            },
        ],
        slices: Vec::new(),
    }
}
