//! Everything that verified statements say about an artifact: its lineage, and its facts.
//!
//! The search starts at the artifact and follows provenance, up to raw data or down to whatever
//! used it. The index says where to look; each bundle found is verified before anything of it is
//! used. What does not verify becomes no fact: facts list it as rejected, a trace shows it as
//! unverified, and neither drops it.
//!
//! Every search is bounded by [`GatherLimits`]; one that meets a bound says so, and what it found
//! is then incomplete. So it is if the log has entries by expected signers whose statements are not
//! in the store, or no longer readable: nobody knows what they said.

mod evaluation;
mod records;
mod scans;

use std::collections::BTreeSet;

use custos_core::digest::{Digest, DigestSet};
use custos_core::facts::{
    ArtifactFacts, EvaluationFacts, Facts, LayoutFacts, RejectedFact, ScanFacts, Section,
    StatementFact,
};
use custos_core::lineage::{
    BreakKind, Direction, Lineage, LineageLimits, NamedArtifact, NoteRecord, StepRecord, Trace,
};
use custos_core::predicate::Predicate as _;
use custos_core::predicate::provenance::Provenance;
use custos_trust::Verified;
use custos_trust::verify::may_be_expected;

use crate::judge::{Judge, TrustContext, VerifiedStatement, signer_of};
use crate::store::{AsyncStore, Hit, Store, StoreError};

/// Most artifacts of one name whose makers are looked at to explain a break.
const NAMESAKES: u32 = 8;
/// Most breaks that are explained that way.
const EXPLAINED: usize = 16;
/// Most missing entries that are named.
const NAMED: usize = 8;

/// Bounds of one search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "bounds that callers set by name")]
pub struct GatherLimits {
    /// Most bundles that are read.
    pub max_bundles: usize,
    /// Most bytes of bundles that are read.
    pub max_bytes: usize,
    /// Bounds of the graph.
    pub lineage: LineageLimits,
}

impl Default for GatherLimits {
    /// 10,000 bundles of 512 MiB together, and the graph's own default.
    fn default() -> Self {
        Self {
            max_bundles: 10_000,
            max_bytes: 512 << 20,
            lineage: LineageLimits::default(),
        }
    }
}

/// What is asked.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Question {
    /// About which artifact.
    pub artifact: NamedArtifact,
    /// Which way the graph is followed.
    pub direction: Direction,
    /// Whether the search goes on behind a step that does not verify, to show more.
    pub follow_unverified: bool,
    /// Bounds.
    pub limits: GatherLimits,
}

impl Question {
    /// Asks for the facts about an artifact: upstream, along verified steps only.
    pub fn facts(artifact: NamedArtifact) -> Self {
        Self {
            artifact,
            direction: Direction::Upstream,
            follow_unverified: false,
            limits: GatherLimits::default(),
        }
    }

    /// Asks for everything that the store knows in one direction, to be shown.
    pub fn trace(artifact: NamedArtifact, direction: Direction) -> Self {
        Self {
            direction,
            follow_unverified: true,
            ..Self::facts(artifact)
        }
    }

    /// Returns it with other bounds.
    pub fn within(self, limits: GatherLimits) -> Self {
        Self { limits, ..self }
    }
}

/// What was found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Gathered {
    /// The artifact that was asked about.
    pub artifact: NamedArtifact,
    /// The lineage.
    pub trace: Trace,
    /// Verified statements about the artifact and what the search met, in the order of the log.
    pub verified: Vec<VerifiedStatement>,
    /// Statements that do not verify.
    pub rejected: Vec<RejectedFact>,
    /// What was left out, a sentence each.
    pub missing: Vec<String>,
    evaluation: Section<EvaluationFacts>,
    scan: Section<ScanFacts>,
    at: u64,
    origin: String,
}

impl Gathered {
    /// Returns the facts. Whether the steps follow a layout is for the caller to say; without it
    /// that is unknown.
    pub fn facts(&self, layout: Option<LayoutFacts>) -> Facts {
        let artifact =
            ArtifactFacts::new(self.artifact.name.as_str(), self.artifact.digest.clone());
        let mut facts = Facts::unknown(artifact, self.at, "nothing has looked at it");
        let mut missing = self.missing.clone();
        let statements = self
            .verified
            .iter()
            .map(|one| self.statement_fact(one))
            .collect();
        facts.statements = Section::gathered(self.at, statements, missing.clone());
        if self.trace.truncated {
            missing.push("the lineage is larger than the limit".to_owned());
        }
        facts.lineage = Section::gathered(self.at, self.trace.to_facts(), missing);
        facts.evaluation = self.evaluation.clone();
        facts.scan = self.scan.clone();
        facts.layout = match layout {
            Some(value) => Section::Known { at: self.at, value },
            None => Section::unknown("no layout was given"),
        };
        facts.rejected.clone_from(&self.rejected);
        facts
    }

    fn statement_fact(&self, verified: &VerifiedStatement) -> StatementFact {
        let statement = verified.statement();
        let names = statement
            .subject()
            .iter()
            .filter_map(|subject| subject.name.clone());
        StatementFact {
            predicate_type: statement.predicate_type().to_owned(),
            subject_names: names.collect(),
            signer: signer_of(verified),
            log_index: verified.index_in(&self.origin),
            statement_digest: verified.payload_digest(),
            bundle_digest: verified.bundle_digest(),
        }
    }
}

impl AsyncStore {
    /// Gathers what verified statements say.
    pub async fn gather(
        &self,
        question: &Question,
        context: &TrustContext<'_>,
        judge: &Judge,
    ) -> Result<Gathered, StoreError> {
        let mut search = Search::new(self, question, context, judge);
        search.compare_with_log().await?;
        search.run().await?;
        let trace = search.explained_trace().await?;
        let evaluation = search.evaluation().await?;
        let scan = search.scans();
        let mut verified = search.verified;
        verified.sort_by_key(|one| {
            (
                one.index_in(context.origin).unwrap_or(u64::MAX),
                one.bundle_digest(),
            )
        });
        let mut rejected = search.rejected;
        rejected.sort_unstable();
        Ok(Gathered {
            artifact: question.artifact.clone(),
            trace,
            verified,
            rejected,
            missing: search.missing.into_iter().collect(),
            evaluation,
            scan,
            at: context.log_size,
            origin: context.origin.to_owned(),
        })
    }
}

impl Store {
    /// Gathers what verified statements say; see [`AsyncStore::gather`].
    pub fn gather(
        &self,
        question: &Question,
        context: &TrustContext<'_>,
        judge: &Judge,
    ) -> Result<Gathered, StoreError> {
        self.wait(self.inner().gather(question, context, judge))
    }
}

/// One search.
struct Search<'a> {
    store: &'a AsyncStore,
    question: &'a Question,
    context: &'a TrustContext<'a>,
    judge: &'a Judge,
    // Digest sets still to be looked up, with the number of steps from the start.
    queue: Vec<(DigestSet, usize)>,
    queued: BTreeSet<Vec<(String, String)>>,
    seen: BTreeSet<Digest>,
    bytes: usize,
    steps: Vec<StepRecord>,
    notes: Vec<NoteRecord>,
    verified: Vec<VerifiedStatement>,
    rejected: Vec<RejectedFact>,
    missing: BTreeSet<String>,
}

impl<'a> Search<'a> {
    fn new(
        store: &'a AsyncStore,
        question: &'a Question,
        context: &'a TrustContext<'a>,
        judge: &'a Judge,
    ) -> Self {
        let mut search = Self {
            store,
            question,
            context,
            judge,
            queue: Vec::new(),
            queued: BTreeSet::new(),
            seen: BTreeSet::new(),
            bytes: 0,
            steps: Vec::new(),
            notes: Vec::new(),
            verified: Vec::new(),
            rejected: Vec::new(),
            missing: BTreeSet::new(),
        };
        search.enqueue(&question.artifact.digest, 0);
        search
    }

    // What an expected signer logged and is not here may be about anything. So may what nobody has
    // looked at yet. What others logged is none of our business, and could not become a fact.
    async fn compare_with_log(&mut self) -> Result<(), StoreError> {
        let (origin, size) = (self.context.origin, self.context.log_size);
        let unseen = self.store.unseen(origin, size).await?;
        self.lacks(unseen.count, unseen.indexes(), "");
        let unstated = match self.store.unstated(origin, size).await {
            Err(StoreError::TooMany { limit }) => {
                self.missing.insert(format!(
                    "more than {limit} others have entries in the log; they were not looked at"
                ));
                return Ok(());
            }
            unstated => unstated?,
        };
        let (root, signers) = (self.context.trust_root, self.context.signers);
        let ours = unstated
            .iter()
            .filter(|one| may_be_expected(&one.signer, root, signers));
        let (mut count, mut first) = (0_u64, BTreeSet::new());
        for one in ours {
            count = count.saturating_add(one.count);
            first.extend(one.first.iter().copied());
        }
        self.lacks(count, first.into_iter(), " by expected signers");
        Ok(())
    }

    fn lacks(&mut self, count: u64, indexes: impl Iterator<Item = u64>, whose: &str) {
        if count == 0 {
            return;
        }
        let mut named: Vec<String> = indexes
            .take(NAMED)
            .map(|index| format!("#{index}"))
            .collect();
        if count > u64::try_from(NAMED).unwrap_or(u64::MAX) {
            named.push("…".to_owned());
        }
        let size = self.context.log_size;
        self.missing.insert(format!(
            "the statements of {count} of {size} log entries{whose} are not in the store: {}",
            named.join(", ")
        ));
    }

    async fn run(&mut self) -> Result<(), StoreError> {
        let mut next = 0;
        while let Some((digest, depth)) = self.queue.get(next).cloned() {
            next = next.saturating_add(1);
            let about = self.store.about(&digest).await;
            for hit in self.bounded(about)? {
                self.take(&hit, &digest, depth).await?;
            }
            if self.question.direction == Direction::Downstream {
                let using = self.store.using(&digest).await;
                for hit in self.bounded(using)? {
                    self.take(&hit, &digest, depth).await?;
                }
            }
        }
        Ok(())
    }

    // A flood of statements about one artifact must not hide that there is one.
    fn bounded(&mut self, hits: Result<Vec<Hit>, StoreError>) -> Result<Vec<Hit>, StoreError> {
        match hits {
            Err(StoreError::TooMany { limit }) => {
                self.missing
                    .insert(format!("an artifact has more than {limit} statements"));
                Ok(Vec::new())
            }
            hits => hits,
        }
    }

    async fn take(
        &mut self,
        hit: &Hit,
        sought: &DigestSet,
        depth: usize,
    ) -> Result<(), StoreError> {
        if !self.seen.insert(hit.bundle_digest) {
            return Ok(());
        }
        let Some(bytes) = self.read(hit).await? else {
            return Ok(());
        };
        let step = match self.judge(hit, &bytes, sought) {
            Ok(verified) => {
                let step = self.keep(&verified);
                self.verified.push(verified);
                step
            }
            Err(rejected) => {
                let step = self.show(hit, &bytes, &rejected);
                self.rejected.push(rejected);
                step.filter(|_| self.question.follow_unverified)
            }
        };
        if let Some(step) = step {
            for digest in step {
                self.enqueue(&digest, depth.saturating_add(1));
            }
        }
        Ok(())
    }

    // Returns the bytes, or nothing if they cannot count, which is then noted.
    async fn read(&mut self, hit: &Hit) -> Result<Option<Vec<u8>>, StoreError> {
        let limits = self.question.limits;
        if self.seen.len() > limits.max_bundles || self.bytes > limits.max_bytes {
            let (bundles, bytes) = (limits.max_bundles, limits.max_bytes);
            self.missing.insert(format!(
                "more than {bundles} statements, or {bytes} bytes of them, belong to the lineage"
            ));
            return Ok(None);
        }
        match self.store.bundle(&hit.bundle_digest).await {
            Ok(bytes) => {
                self.bytes = self.bytes.saturating_add(bytes.len());
                Ok(Some(bytes))
            }
            Err(error) if error.is_of_one_bundle() => {
                let code = match error {
                    StoreError::NotFound { .. } => "bundle-erased",
                    _ => "bundle-damaged",
                };
                self.missing.insert(match hit.log_index {
                    Some(index) => format!("the statement of log entry #{index} cannot be read"),
                    None => format!("the statement {} cannot be read", hit.bundle_digest),
                });
                self.rejected.push(RejectedFact {
                    bundle_digest: hit.bundle_digest,
                    code: code.to_owned(),
                    message: error.to_string(),
                    predicate_type: Some(hit.predicate_type.clone()),
                    signer_key_id: hit.key_id.clone(),
                });
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn judge(
        &self,
        hit: &Hit,
        bytes: &[u8],
        sought: &DigestSet,
    ) -> Result<VerifiedStatement, RejectedFact> {
        let artifact = records::subject_for(bytes, sought);
        let verified = self.judge.verify(bytes, &artifact, self.context);
        let rejected = |code: &str, message: String| RejectedFact {
            bundle_digest: hit.bundle_digest,
            code: code.to_owned(),
            message,
            predicate_type: Some(hit.predicate_type.clone()),
            signer_key_id: hit.key_id.clone(),
        };
        let verified = verified.map_err(|error| rejected(error.code(), error.to_string()))?;
        // Signed, and yet not what it says it is: no half-read provenance becomes a fact.
        records::check(verified.statement())
            .map_err(|reason| rejected("predicate-unsound", reason))?;
        Ok(verified)
    }

    // Adds a verified statement to the graph; returns the digests to look at next, for a step.
    fn keep(
        &mut self,
        verified: &Verified<custos_core::statement::Statement>,
    ) -> Option<Vec<DigestSet>> {
        let head = records::head_of(verified, self.context.origin);
        self.add(verified.statement(), head)
    }

    // Adds a statement that does not verify, as such.
    fn show(&mut self, hit: &Hit, bytes: &[u8], rejected: &RejectedFact) -> Option<Vec<DigestSet>> {
        let (statement, head) = records::unverified(hit, bytes, rejected)?;
        self.add(&statement, head)
    }

    fn add(
        &mut self,
        statement: &custos_core::statement::Statement,
        head: custos_core::lineage::RecordHead,
    ) -> Option<Vec<DigestSet>> {
        let Some(step) = records::step(statement, &head) else {
            self.notes.push(records::note(statement, head));
            return None;
        };
        let next = match self.question.direction {
            Direction::Upstream => records::data(&step),
            Direction::Downstream => step.outputs.iter().map(|out| out.digest.clone()).collect(),
        };
        self.steps.push(step);
        Some(next)
    }

    fn enqueue(&mut self, digest: &DigestSet, depth: usize) {
        if depth > self.question.limits.lineage.max_depth {
            self.missing.insert(format!(
                "the lineage is deeper than {} steps",
                self.question.limits.lineage.max_depth
            ));
            return;
        }
        let key: Vec<_> = digest
            .iter()
            .map(|(name, hex)| (name.to_owned(), hex.to_owned()))
            .collect();
        if self.queued.contains(&key) {
            return;
        }
        // Each is a question to the store, and one statement may name thousands.
        let max = self.question.limits.lineage.max_nodes;
        if self.queue.len() >= max {
            self.missing
                .insert(format!("the lineage has more than {max} artifacts"));
            return;
        }
        self.queued.insert(key);
        self.queue.push((digest.clone(), depth));
    }

    fn trace(&self) -> Trace {
        let limits = self.question.limits.lineage;
        let graph = Lineage::build(self.steps.clone(), self.notes.clone(), limits);
        graph.trace(&self.question.artifact, self.question.direction)
    }

    // An input that nobody made: did somebody make another thing of its name? A second look, by
    // name, which only makes the message better.
    async fn explained_trace(&mut self) -> Result<Trace, StoreError> {
        let trace = self.trace();
        let mut added = false;
        let unknown = trace
            .breaks
            .iter()
            .filter(|broken| broken.kind == BreakKind::UnknownSource);
        let names: Vec<String> = unknown
            .map(|broken| broken.name.clone())
            .take(EXPLAINED)
            .collect();
        for name in names.iter().filter(|name| !name.is_empty()) {
            for hit in self.store.named(name, Provenance::TYPE, NAMESAKES).await? {
                let Ok(bytes) = self.store.bundle(&hit.bundle_digest).await else {
                    continue;
                };
                let artifact = records::subject_named(&bytes, name);
                let Ok(verified) = self.judge.verify(&bytes, &artifact, self.context) else {
                    continue;
                };
                let head = records::head_of(&verified, self.context.origin);
                if let Some(step) = records::step(verified.statement(), &head) {
                    self.steps.push(step);
                    added = true;
                }
            }
        }
        Ok(if added { self.trace() } else { trace })
    }
}
