//! Evaluates queries under guard.

use std::num::NonZeroU32;
use std::time::Duration;

use custos_core::clock::Timestamp;
use custos_core::json::JsonError;
use regorus::Engine;
use regorus::utils::limits::ExecutionTimerConfig;
use serde_json::Value;

use crate::builtins;
use crate::error::{EvalError, PolicyErrorKind};
use crate::guard::{self, Fault};
use crate::limits::MAX_TEXT_CHARS;
use crate::nesting;
use crate::set::PolicySet;

/// The package that [`crate::decide()`] asks unless told otherwise.
pub const GATE_PACKAGE: &str = "data.custos.gate";

/// How to evaluate: the moment, and how long it may take.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evaluation {
    /// What `time.now_ns()` says, for the whole evaluation.
    pub now: Timestamp,
    /// How long it may take; at the deadline there is no answer.
    pub deadline: Duration,
    /// The package or rule that decides, such as `data.kubernetes.admission`; `None` is
    /// [`GATE_PACKAGE`]. Only [`crate::decide()`] looks at it.
    pub query: Option<String>,
}

impl Evaluation {
    /// Returns an evaluation at `now` that may take five seconds.
    pub const fn at(now: Timestamp) -> Self {
        Self {
            now,
            deadline: Duration::from_secs(5),
            query: None,
        }
    }

    /// Returns the same with another deadline.
    #[must_use]
    pub fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Returns the same with another package or rule that decides.
    #[must_use]
    pub fn asking(self, query: impl Into<String>) -> Self {
        Self {
            query: Some(query.into()),
            ..self
        }
    }
}

/// Evaluates a query, such as `data.custos.gate.deny` or `x := 1 + input.n`.
///
/// The answer has OPA's shape: `{"result": [{"expressions": [...], "bindings": {...}}]}`, without
/// `result` if the query is undefined. Sets come as arrays.
pub fn eval(
    set: &PolicySet,
    query: &str,
    input: &Value,
    evaluation: &Evaluation,
) -> Result<Value, EvalError> {
    // The query is parsed by the same recursive parser as policies are.
    if query.len() > MAX_TEXT_CHARS || !nesting::within(query, MAX_QUERY_NESTING) {
        let kind = PolicyErrorKind::NestedTooDeep {
            limit: MAX_QUERY_NESTING,
        };
        return Err(EvalError::Query(kind));
    }
    let mut engine = session(set, evaluation)?;
    let input = engine_value(input)?;
    let query = query.to_owned();
    guarded(evaluation.deadline, move || {
        engine.set_input(input);
        let results = engine
            .eval_query(query, false)
            .map_err(|error| failed(&error))?;
        for one in &results.result {
            one.expressions.iter().try_for_each(|e| sized(&e.value))?;
            sized(&one.bindings)?;
        }
        serde_json::to_value(&results).map_err(|e| EvalError::NotJson {
            message: e.to_string(),
        })
    })
}

const MAX_QUERY_NESTING: usize = 32;
const MAX_INPUT_DEPTH: usize = 64;
const MAX_ANSWER_DEPTH: usize = 100;
const MAX_ANSWER_VALUES: usize = 2_000_000;
const MAX_ANSWER_BYTES: usize = 64 << 20;

/// Returns a copy of the engine that is set up for one evaluation.
pub(crate) fn session(set: &PolicySet, evaluation: &Evaluation) -> Result<Engine, EvalError> {
    let mut engine = set.engine.clone();
    engine.set_execution_timer_config(ExecutionTimerConfig {
        limit: evaluation.deadline,
        check_interval: TIMER_INTERVAL,
    });
    builtins::install_now(&mut engine, evaluation.now).map_err(|error| failed(&error))?;
    Ok(engine)
}

// Steps of the engine between two looks at the time.
const TIMER_INTERVAL: NonZeroU32 = NonZeroU32::MIN.saturating_add(31);

/// Runs `work` under guard and turns faults into errors.
pub(crate) fn guarded<T: Send + 'static>(
    deadline: Duration,
    work: impl FnOnce() -> Result<T, EvalError> + Send + 'static,
) -> Result<T, EvalError> {
    match guard::run(deadline, work) {
        Ok(outcome) => outcome,
        Err(Fault::Busy { limit }) => Err(EvalError::Busy { limit }),
        Err(Fault::Panicked { message }) => Err(EvalError::Panicked { message }),
        Err(Fault::TimedOut { limit }) => Err(EvalError::TimedOut { limit }),
    }
}

/// Checks that an answer can be written down: values share their parts, so that forty lines of a
/// policy can say what no memory holds, and their depth is bounded by nothing else.
pub(crate) fn sized(answer: &regorus::Value) -> Result<(), EvalError> {
    let mut open = vec![(answer, 0_usize)];
    let (mut values, mut bytes) = (0_usize, 0_usize);
    while let Some((value, depth)) = open.pop() {
        let below = depth.saturating_add(1);
        values = values.saturating_add(1);
        match value {
            regorus::Value::String(text) => bytes = bytes.saturating_add(text.len()),
            regorus::Value::Array(items) => open.extend(items.iter().map(|item| (item, below))),
            regorus::Value::Set(items) => open.extend(items.iter().map(|item| (item, below))),
            regorus::Value::Object(members) => {
                for (key, member) in members.iter() {
                    open.extend([(key, below), (member, below)]);
                }
            }
            _ => {}
        }
        if depth > MAX_ANSWER_DEPTH || values > MAX_ANSWER_VALUES || bytes > MAX_ANSWER_BYTES {
            return Err(EvalError::AnswerTooLarge);
        }
    }
    Ok(())
}

/// Turns an error of the engine into ours; its own timer counts as a time-out.
pub(crate) fn failed(error: &anyhow::Error) -> EvalError {
    if let Some(regorus::LimitError::TimeLimitExceeded { limit, .. }) = error.downcast_ref() {
        return EvalError::TimedOut { limit: *limit };
    }
    let text = error.to_string();
    let message = match crate::set::position_of(&text) {
        Some(at) => format!(
            "{} (line {}, column {})",
            crate::set::message_of(&text),
            at.line,
            at.column
        ),
        None => crate::set::message_of(&text),
    };
    EvalError::Failed { message }
}

/// Converts an input, which must be an object of bounded depth.
pub(crate) fn engine_value(input: &Value) -> Result<regorus::Value, EvalError> {
    if !input.is_object() {
        return Err(EvalError::InputNotAnObject);
    }
    // The conversion recurses, so depth is counted first, without recursing.
    let mut open = vec![(input, 0_usize)];
    while let Some((value, depth)) = open.pop() {
        if depth > MAX_INPUT_DEPTH {
            return Err(EvalError::InputTooLarge(JsonError::TooDeep {
                limit: MAX_INPUT_DEPTH,
            }));
        }
        let below = depth.saturating_add(1);
        match value {
            Value::Array(items) => open.extend(items.iter().map(|item| (item, below))),
            Value::Object(members) => open.extend(members.values().map(|item| (item, below))),
            _ => {}
        }
    }
    match regorus::Value::from(input.clone()) {
        regorus::Value::Undefined => Err(EvalError::InputNotAnObject),
        value => Ok(value),
    }
}
