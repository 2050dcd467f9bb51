//! Which built-in functions a policy may call, and those that Custos supplies itself.
//!
//! The list is closed: a function that a later engine brings along stays unknown until somebody
//! has looked at it. None of those allowed does I/O, reads a clock or draws random numbers, so
//! that a decision can be evaluated again.

mod regexes;
mod texts;

use custos_core::clock::Timestamp;
use regorus::{Engine, Value};

use crate::limits::MAX_RANGE;

/// What a policy may do with a name that is not one of its own functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builtin {
    /// It may call it with so many arguments, and perhaps one more that takes the result.
    Engine { arity: usize },
    /// It may call it with exactly so many arguments; Custos supplies it.
    Own { arity: usize },
    /// It may call it with any number of arguments.
    Variadic,
    /// It may not call it.
    Forbidden { why: &'static str },
}

pub(crate) fn lookup(name: &str) -> Option<Builtin> {
    if name == "print" {
        return Some(Builtin::Variadic);
    }
    if let Some((_, arity)) = OWN.iter().find(|(own, _)| *own == name) {
        return Some(Builtin::Own { arity: *arity });
    }
    if let Some((_, why)) = FORBIDDEN.iter().find(|(forbidden, _)| *forbidden == name) {
        return Some(Builtin::Forbidden { why });
    }
    ENGINE
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, arity)| Builtin::Engine { arity: *arity })
}

/// Returns true if the function always has a result when its arguments have a value: it may
/// stand as an argument inside `not`.
pub(crate) fn is_total(name: &str) -> bool {
    TOTAL.contains(&name)
}

/// Names and arities of the functions that Custos supplies.
pub(crate) const OWN: &[(&str, usize)] = &[
    ("bits.lsh", 2),
    ("net.cidr_contains", 2),
    ("numbers.range", 2),
    ("numbers.range_step", 3),
    ("regex.find_all_string_submatch_n", 3),
    ("regex.find_n", 3),
    ("regex.is_valid", 1),
    ("regex.match", 2),
    ("regex.replace", 3),
    ("regex.split", 2),
    ("strings.count", 2),
    ("strings.replace_n", 2),
    ("time.now_ns", 0),
    ("time.parse_rfc3339_ns", 1),
];

/// Adds the functions that do not depend on the moment.
pub(crate) fn install(engine: &mut Engine) -> anyhow::Result<()> {
    add(engine, "bits.lsh", 2, shift_left)?;
    add(engine, "numbers.range", 2, |args| range(args, 1))?;
    add(engine, "numbers.range_step", 3, |args| {
        match integer(args, 2) {
            Ok(step) if step > 0 => range(args, step),
            _ => Err("the step must be a positive integer"),
        }
    })?;
    add(engine, "net.cidr_contains", 2, texts::network_contains)?;
    let name = "regex.find_all_string_submatch_n";
    add(engine, name, 3, regexes::find_groups)?;
    add(engine, "regex.find_n", 3, regexes::find)?;
    add(engine, "regex.is_valid", 1, |args| {
        Ok(regexes::is_valid(args))
    })?;
    add(engine, "regex.match", 2, regexes::matches)?;
    add(engine, "regex.replace", 3, regexes::replace)?;
    add(engine, "regex.split", 2, regexes::split)?;
    add(engine, "strings.count", 2, texts::count)?;
    add(engine, "strings.replace_n", 2, texts::replace_all)?;
    add(engine, "time.parse_rfc3339_ns", 1, texts::parse_time)
}

/// Adds `time.now_ns`, which is `now` for the whole evaluation.
pub(crate) fn install_now(engine: &mut Engine, now: Timestamp) -> anyhow::Result<()> {
    let nanos = now.as_micros().checked_mul(1_000);
    add(engine, "time.now_ns", 0, move |_| {
        nanos.map(Value::from).ok_or(OUT_OF_RANGE)
    })
}

const OUT_OF_RANGE: &str = "the number is out of range";

// The engine prefers a function added like this to its own of the same name.
fn add<F>(engine: &mut Engine, name: &'static str, arity: u8, function: F) -> anyhow::Result<()>
where
    F: Fn(&[Value]) -> Result<Value, &'static str> + Clone + Send + Sync + 'static,
{
    let extension = move |args: Vec<Value>| {
        function(&args).map_err(|why| anyhow::Error::msg(format!("`{name}`: {why}")))
    };
    engine.add_extension(name.to_owned(), arity, Box::new(extension))
}

fn integer(args: &[Value], index: usize) -> Result<i64, &'static str> {
    let value = args.get(index).ok_or("an argument is missing")?;
    value
        .as_i64()
        .map_err(|_| "an argument is not an integer, or out of range")
}

fn string(args: &[Value], index: usize) -> Result<&str, &'static str> {
    match args.get(index) {
        Some(Value::String(text)) => Ok(text),
        _ => Err("an argument is not a string"),
    }
}

/// Counts up or down, both ends included; the engine's own takes any amount of memory.
fn range(args: &[Value], step: i64) -> Result<Value, &'static str> {
    let (from, to) = (integer(args, 0)?, integer(args, 1)?);
    let distance = from
        .abs_diff(to)
        .checked_div(step.unsigned_abs())
        .ok_or(OUT_OF_RANGE)?;
    if usize::try_from(distance)
        .ok()
        .is_none_or(|distance| distance >= MAX_RANGE)
    {
        return Err("more than 1,000,000 numbers");
    }
    let mut numbers = Vec::new();
    let mut at = Some(from);
    while let Some(number) = at {
        if (from <= to && number > to) || (from > to && number < to) {
            break;
        }
        numbers.push(Value::from(number));
        at = if from <= to {
            number.checked_add(step)
        } else {
            number.checked_sub(step)
        };
    }
    Ok(Value::from(numbers))
}

fn shift_left(args: &[Value]) -> Result<Value, &'static str> {
    let (number, bits) = (integer(args, 0)?, integer(args, 1)?);
    let bits = u32::try_from(bits).map_err(|_| "a shift is negative or too large")?;
    let factor = 1_i64
        .checked_shl(bits)
        .filter(|factor| *factor > 0)
        .ok_or(OUT_OF_RANGE)?;
    number
        .checked_mul(factor)
        .map(Value::from)
        .ok_or(OUT_OF_RANGE)
}

const FORBIDDEN: &[(&str, &str)] = &[
    (
        "graph.reachable_paths",
        "its result grows exponentially with the input",
    ),
    (
        "http.send",
        "policies do no input or output; give them the fact in the input",
    ),
    ("net.cidr_expand", "its result has no bound"),
    (
        "net.lookup_ip_addr",
        "policies do no input or output; give them the fact in the input",
    ),
    (
        "opa.runtime",
        "a decision must not depend on the program that makes it",
    ),
    ("providers.aws.sign_req", "policies hold no secrets"),
    ("rand.intn", "a decision must come out the same again"),
    (
        "regex.template_match",
        "its patterns mean something else in OPA; use regex.match",
    ),
    ("uuid.rfc4122", "a decision must come out the same again"),
];

// Functions of the engine, with their number of arguments.
const ENGINE: &[(&str, usize)] = &[
    ("abs", 1),
    ("array.concat", 2),
    ("array.reverse", 1),
    ("array.slice", 3),
    ("base64.decode", 1),
    ("base64.encode", 1),
    ("base64.is_valid", 1),
    ("base64url.decode", 1),
    ("base64url.encode", 1),
    ("base64url.encode_no_pad", 1),
    ("bits.and", 2),
    ("bits.negate", 1),
    ("bits.or", 2),
    ("bits.rsh", 2),
    ("bits.xor", 2),
    ("ceil", 1),
    ("concat", 2),
    ("contains", 2),
    ("count", 1),
    ("endswith", 2),
    ("floor", 1),
    ("format_int", 2),
    ("glob.match", 3),
    ("glob.quote_meta", 1),
    ("graph.reachable", 2),
    ("hex.decode", 1),
    ("hex.encode", 1),
    ("indexof", 2),
    ("indexof_n", 2),
    ("intersection", 1),
    ("is_array", 1),
    ("is_boolean", 1),
    ("is_null", 1),
    ("is_number", 1),
    ("is_object", 1),
    ("is_set", 1),
    ("is_string", 1),
    ("json.filter", 2),
    ("json.is_valid", 1),
    ("json.marshal", 1),
    ("json.marshal_with_options", 2),
    ("json.patch", 2),
    ("json.remove", 2),
    ("json.unmarshal", 1),
    ("lower", 1),
    ("max", 1),
    ("min", 1),
    ("net.cidr_is_valid", 1),
    ("object.filter", 2),
    ("object.get", 3),
    ("object.keys", 1),
    ("object.remove", 2),
    ("object.subset", 2),
    ("object.union", 2),
    ("object.union_n", 1),
    ("product", 1),
    ("replace", 3),
    ("round", 1),
    ("semver.compare", 2),
    ("semver.is_valid", 1),
    ("sort", 1),
    ("split", 2),
    ("sprintf", 2),
    ("startswith", 2),
    ("strings.any_prefix_match", 2),
    ("strings.any_suffix_match", 2),
    ("strings.reverse", 1),
    ("substring", 3),
    ("sum", 1),
    ("to_number", 1),
    ("trace", 1),
    ("trim", 2),
    ("trim_left", 2),
    ("trim_prefix", 2),
    ("trim_right", 2),
    ("trim_space", 1),
    ("trim_suffix", 2),
    ("type_name", 1),
    ("union", 1),
    ("units.parse", 1),
    ("units.parse_bytes", 1),
    ("upper", 1),
    ("walk", 1),
];

// Functions without a case in which defined arguments have an undefined result.
const TOTAL: &[&str] = &[
    "abs",
    "array.concat",
    "array.reverse",
    "base64.encode",
    "ceil",
    "concat",
    "contains",
    "count",
    "endswith",
    "floor",
    "glob.match",
    "hex.encode",
    "indexof",
    "is_array",
    "is_boolean",
    "is_null",
    "is_number",
    "is_object",
    "is_set",
    "is_string",
    "json.marshal",
    "lower",
    "numbers.range",
    "object.get",
    "object.keys",
    "object.union",
    "product",
    "regex.match",
    "replace",
    "round",
    "semver.compare",
    "semver.is_valid",
    "sort",
    "split",
    "sprintf",
    "startswith",
    "strings.any_prefix_match",
    "strings.any_suffix_match",
    "strings.count",
    "strings.reverse",
    "sum",
    "time.now_ns",
    "time.parse_rfc3339_ns",
    "trim",
    "trim_left",
    "trim_prefix",
    "trim_right",
    "trim_space",
    "trim_suffix",
    "type_name",
    "upper",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn call(expression: &str) -> Result<String, String> {
        let mut engine = Engine::new();
        install(&mut engine).unwrap();
        install_now(&mut engine, Timestamp::from_seconds(5)).unwrap();
        engine
            .add_policy("a.rego".into(), format!("package a\nr := {expression}"))
            .unwrap();
        match engine.eval_rule("data.a.r".into()) {
            Ok(value) => Ok(value.to_string()),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn every_function_of_the_engine_has_been_looked_at() {
        let mut engine = Engine::new();
        engine
            .add_policy(
                "a.rego".into(),
                "package a\nr := opa.runtime().builtins".into(),
            )
            .unwrap();
        let names = engine.eval_rule("data.a.r".into()).unwrap();
        let names = names.as_array().unwrap().clone();
        assert!(names.len() > 80);
        for name in &names {
            let name = name.as_string().unwrap();
            // The operators of sets; nobody can write this name in a policy.
            if !name.starts_with("__") {
                assert!(lookup(name).is_some(), "{name}");
            }
        }
        for (name, _) in ENGINE {
            let call = format!("package a\nr := {name}(1, 2, 3, 4, 5, 6)");
            let mut engine = Engine::new();
            engine.add_policy("a.rego".into(), call).unwrap();
            let error = engine.eval_rule("data.a.r".into()).unwrap_err().to_string();
            assert!(
                !error.contains("could not find function"),
                "{name}: {error}"
            );
        }
    }

    #[test]
    fn total_functions_are_known() {
        for name in TOTAL {
            let found = lookup(name);
            assert!(
                matches!(found, Some(Builtin::Engine { .. } | Builtin::Own { .. })),
                "{name}"
            );
        }
    }

    #[test]
    fn counting_an_empty_text_does_not_panic() {
        assert_eq!(call(r#"strings.count("abc", "")"#), Ok("4".into()));
        assert_eq!(call(r#"strings.count("aaaa", "aa")"#), Ok("2".into()));
    }

    #[test]
    fn ranges_are_bounded() {
        assert_eq!(call("numbers.range(1, 3)"), Ok("[1,2,3]".into()));
        assert_eq!(call("numbers.range(3, 1)"), Ok("[3,2,1]".into()));
        assert_eq!(call("numbers.range_step(0, 7, 3)"), Ok("[0,3,6]".into()));
        assert_eq!(
            call("count(numbers.range(1, 1000000))"),
            Ok("1000000".into())
        );
        assert!(
            call("numbers.range(1, 1000001)")
                .unwrap_err()
                .contains("1,000,000")
        );
        assert!(call("numbers.range(0, 9223372036854775807)").is_err());
        assert!(call("numbers.range(1, 1e40)").is_err());
        assert!(call("numbers.range_step(1, 2, 0)").is_err());
        assert!(call("bits.lsh(1, 1000000000)").is_err());
        assert_eq!(call("bits.lsh(3, 4)"), Ok("48".into()));
    }

    #[test]
    fn time_is_an_argument() {
        assert_eq!(call("time.now_ns()"), Ok("5000000000".into()));
        let parse = |text: &str| call(&format!("time.parse_rfc3339_ns({text:?})"));
        assert_eq!(parse("1970-01-01T00:00:05Z"), Ok("5000000000".into()));
        assert!(parse("yesterday").is_err());
    }
}
