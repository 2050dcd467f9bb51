//! `custos keys approve`: M of N keys agree to a change of what is trusted.
//!
//! Each approval is a signed and logged `approval` statement about the digest of the proposed
//! file. They are counted by verifying them again, a key once, its last word in the log; and the
//! proposal takes effect when enough different keys of the root role have said yes.

use std::collections::BTreeMap;
use std::path::Path;

use custos_core::crypto::{KeyId, PublicKey};
use custos_core::digest::{Algorithm, Digest, DigestSet};
use custos_core::identity::ExpectedSigner;
use custos_core::predicate::approval::{Answer, Approval, ProposalKind};
use custos_core::predicate::{self, Predicate as _};
use custos_core::statement::Subject;
use custos_evidence::{Judge, Store, TrustContext};
use custos_trust::revocation::Revocations;
use custos_trust::tuf::repository::Staged;
use serde_json::json;

use crate::args::ApproveArgs;
use crate::context::Context;
use crate::exit::Exit;
use crate::files::{read_bytes, shown};
use crate::key_life::{self, RootRole};
use crate::policies::Policy;
use crate::recording::{self, Recording};
use crate::term::Role;
use crate::trusting::Trusting;
use crate::{Failure, Outcome, approved, logs, stores};

/// Largest proposal, in bytes.
const MAX_PROPOSAL: u64 = 8 << 20;

/// Runs the command.
pub fn run(args: &ApproveArgs, context: &Context) -> Outcome {
    let settings = context.settings()?;
    let proposal = Proposal::read(&context.resolve(&args.proposal), context)?;
    let role = proposal.role(context)?;
    let signer = recording::key_signer(&args.key, &settings, context)?;
    let key = signer.public_key().clone();
    if !role.keys.contains(&key) {
        return Err(
            Failure::usage("E0803", "this key is not one of the root role's")
                .at(format!("key:{}", key.id().short()))
                .help("name one of them with --key; `custos trust status` lists them"),
        );
    }
    let answer = if args.reject {
        Answer::Rejected
    } else {
        Answer::Approved
    };
    if let Content::Staged(staged) = &proposal.content {
        match answer {
            Answer::Approved => staged
                .sign(signer.as_ref())
                .map_err(|error| super::trust_life::signing_failure(&error))?,
            Answer::Rejected => staged
                .withdraw(&key)
                .map_err(|error| super::trust_life::failure(&error))?,
        }
    }
    let approval = Approval {
        answer,
        kind: proposal.kind,
        proposal: proposal.name.clone(),
        at: context.now(),
        comment: args.comment.clone(),
    };
    let subject = Subject::new(proposal.name.as_str(), DigestSet::from(proposal.digest));
    let statement = predicate::write(vec![subject], &approval)
        .map_err(|error| Failure::internal(&error.to_string()))?;
    let recording = Recording::open(signer, context)?;
    let recorded = recording.one(statement)?;
    drop(recording);
    let yes = count(&proposal, &role, context)?;
    let enough = yes.len() >= role.threshold;
    let effect = if enough {
        proposal.apply(context)?
    } else if proposal.withdraw(context)? {
        "withdrawn  the gate of this home no longer takes this policy".to_owned()
    } else {
        format!("{} more to go", role.threshold.saturating_sub(yes.len()))
    };
    let done = Done {
        proposal: &proposal,
        answer,
        key: key.id(),
        index: recorded.index,
        yes: &yes,
        threshold: role.threshold,
        effect: &effect,
    };
    done.report(context)
}

struct Done<'a> {
    proposal: &'a Proposal,
    answer: Answer,
    key: KeyId,
    index: Option<u64>,
    yes: &'a [KeyId],
    threshold: usize,
    effect: &'a str,
}

impl Done<'_> {
    fn report(&self, context: &Context) -> Outcome {
        let said = match self.answer {
            Answer::Approved => "approved",
            Answer::Rejected => "rejected",
        };
        let (yes, threshold) = (self.yes.len(), self.threshold);
        let human = format!(
            "{said}  {}\nkey      key:{}  log #{}\ncount    {yes} of {threshold} keys of the root role say yes\n{}\n",
            context
                .term
                .paint(Role::Strong, &crate::term::visible(&self.proposal.name)),
            self.key.short(),
            self.index.unwrap_or_default(),
            self.effect,
        );
        context.term.result(
            &human,
            &json!({
                "schema": "custos.keys.approve/1",
                "proposal": self.proposal.name,
                "kind": self.proposal.kind,
                "digest": self.proposal.digest,
                "answer": self.answer,
                "keyId": self.key,
                "logIndex": self.index,
                "approvedBy": self.yes,
                "threshold": threshold,
                "applied": yes >= threshold,
            }),
        )?;
        Ok(Exit::Yes)
    }
}

struct Proposal {
    name: String,
    digest: Digest,
    kind: ProposalKind,
    content: Content,
}

enum Content {
    Policy(Box<Policy>),
    Revocations(Box<Revocations>),
    Staged(Box<Staged>),
}

impl Proposal {
    fn read(path: &Path, context: &Context) -> Result<Self, Failure> {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            let policy = Policy::load(&shown(path), context)?;
            return Ok(Self {
                name,
                digest: *policy.digest(),
                kind: ProposalKind::Policy,
                content: Content::Policy(Box::new(policy)),
            });
        }
        let bytes = read_bytes(path, MAX_PROPOSAL)?;
        if let Ok(list) = Revocations::parse(&bytes) {
            return Ok(Self {
                name,
                digest: list.digest(),
                kind: ProposalKind::Revocations,
                content: Content::Revocations(Box::new(list)),
            });
        }
        let staged = Staged::read(path).map_err(|error| {
            Failure::usage("E0803", "this is no proposal that keys approve")
                .at(shown(path))
                .because(error.to_string())
                .help("a proposal is a list of revocations, a staged root.json or targets.json, or a policy's folder")
        })?;
        Ok(Self {
            name,
            digest: Algorithm::Sha256.digest(staged.canonical()),
            kind: if staged.is_root() {
                ProposalKind::Root
            } else {
                ProposalKind::Targets
            },
            content: Content::Staged(Box::new(staged)),
        })
    }

    // A staged change is for the repository's own root to agree to, all else for the home's.
    fn role(&self, context: &Context) -> Result<RootRole, Failure> {
        if let Content::Staged(staged) = &self.content {
            let (keys, threshold) = staged
                .signers()
                .map_err(|error| super::trust_life::failure(&error))?;
            return Ok(RootRole { keys, threshold });
        }
        key_life::root_role(&context.home()?)?.ok_or_else(|| {
            Failure::usage("E0803", "this home has no root role that could approve")
                .because("a threshold comes with a trust root: M of N keys")
                .help(
                    "`custos trust publish DIR --root-key A --root-key B --threshold 2` makes one",
                )
                .help("without a trust root, `custos keys revoke` takes effect at once")
        })
    }

    // A policy counts as long as enough keys stand behind it; a revocation is never taken back.
    fn withdraw(&self, context: &Context) -> Result<bool, Failure> {
        match &self.content {
            Content::Policy(policy) => approved::remove(&context.home()?, policy),
            _ => Ok(false),
        }
    }

    fn apply(&self, context: &Context) -> Result<String, Failure> {
        let home = context.home()?;
        match &self.content {
            Content::Revocations(list) => {
                key_life::save(&home, list)?;
                Ok("applied  in this home from now on".to_owned())
            }
            Content::Policy(policy) => {
                approved::add(&home, policy)?;
                Ok("applied  the gate of this home takes this policy".to_owned())
            }
            Content::Staged(staged) => Ok(format!(
                "signed   `custos trust publish {}` puts it in place",
                shown(staged.repository())
            )),
        }
    }
}

// The keys whose last word in the log is yes.
fn count(proposal: &Proposal, role: &RootRole, context: &Context) -> Result<Vec<KeyId>, Failure> {
    let signers: Vec<ExpectedSigner> = role.keys.iter().map(as_expected).collect();
    let settings = context.settings()?;
    let trusting = Trusting::for_signers(signers, &settings, context)?;
    let store = stores::readable(context)?;
    let (log, checkpoint) = logs::reader(context)?;
    stores::catch_up(&store, &log, &checkpoint, context)?;
    let trust = TrustContext {
        trust_root: &trusting.root,
        signers: &trusting.signers,
        log: trusting.log(),
        origin: checkpoint.origin(),
        log_size: checkpoint.size(),
        now: context.now(),
    };
    let last = last_words(proposal, &store, &trust)?;
    // A key that took over from one of these is expected under its name, and has no vote: else its
    // holder would have two. Whose votes count, a new root says.
    let votes: Vec<KeyId> = role.keys.iter().map(PublicKey::id).collect();
    let yes = last
        .into_iter()
        .filter(|(key, (_, answer))| votes.contains(key) && *answer == Answer::Approved);
    Ok(yes.map(|(key, _)| key).collect())
}

type LastWords = BTreeMap<KeyId, (u64, Answer)>;

fn last_words(
    proposal: &Proposal,
    store: &Store,
    trust: &TrustContext<'_>,
) -> Result<LastWords, Failure> {
    let judge = Judge::new();
    let digest = DigestSet::from(proposal.digest);
    let failed = |error| stores::failure(&error);
    let mut last = LastWords::new();
    for hit in store.about(&digest).map_err(failed)? {
        if hit.predicate_type != Approval::TYPE {
            continue;
        }
        let bytes = store.bundle(&hit.bundle_digest).map_err(failed)?;
        // What does not verify, or was said of something else, counts for nobody.
        let Ok(verified) = judge.verify(&bytes, &digest, trust) else {
            continue;
        };
        let Ok(said) = predicate::read::<Approval>(verified.statement()) else {
            continue;
        };
        let Some(index) = verified.index_in(trust.origin) else {
            continue;
        };
        if said.kind != proposal.kind {
            continue;
        }
        let word = last
            .entry(*verified.signer().key())
            .or_insert((index, said.answer));
        if index >= word.0 {
            *word = (index, said.answer);
        }
    }
    Ok(last)
}

fn as_expected(key: &PublicKey) -> ExpectedSigner {
    ExpectedSigner::key(key.id().short(), key.clone())
}
