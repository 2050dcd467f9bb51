//! Expressions of both languages.

use crate::text::code::lex::Lexer;

use super::*;
use proptest::prelude::*;

fn shown(source: &str, dialect: Dialect) -> String {
    let tokens = Lexer::new(source, dialect).tokens();
    let mut parser = Parser::new(source, tokens, dialect);
    let id = parser.expressions();
    assert!(parser.is_done(), "{source}");
    assert_eq!(parser.faults, 0, "{source}");
    show(&parser.nodes, id)
}

fn show(nodes: &[Node<'_>], id: Id) -> String {
    let s = |id: Id| show(nodes, id);
    let args = |args: &[Argument<'_>]| {
        let shown: Vec<_> = args
            .iter()
            .map(|arg| {
                format!(
                    "{}{}",
                    arg.name.map_or(String::new(), |n| format!("{n}=")),
                    s(arg.value)
                )
            })
            .collect();
        shown.join(",")
    };
    match &nodes[id].expr {
        Expr::Attribute(a, name) => format!("{}.{name}", s(*a)),
        Expr::Binary(sign, a, b) => format!("({} {sign} {})", s(*a), s(*b)),
        Expr::Bytes(bytes) => format!("b{bytes:?}"),
        Expr::Call(f, a) => format!("{}({})", s(*f), args(a)),
        Expr::Choice(c, a, b) => {
            format!("({} ? {} : {})", s(*c), s(*a), b.map_or(String::new(), s))
        }
        Expr::Dict(pairs) => {
            let shown: Vec<_> = pairs
                .iter()
                .map(|(k, v)| format!("{}:{}", s(*k), s(*v)))
                .collect();
            format!("{{{}}}", shown.join(","))
        }
        Expr::Each(e, name, over) => format!("{} for {name} in {}", s(*e), s(*over)),
        Expr::Filter(a, name, b) => format!("{}|{name}({})", s(*a), args(b)),
        Expr::Format(parts) => format!(
            "f[{}]",
            parts.iter().map(|p| s(*p)).collect::<Vec<_>>().join("+")
        ),
        Expr::Item(a, b) => format!("{}[{}]", s(*a), s(*b)),
        Expr::Lambda(_, body) => format!("\\{}", s(*body)),
        Expr::List(items) => format!(
            "[{}]",
            items.iter().map(|i| s(*i)).collect::<Vec<_>>().join(",")
        ),
        Expr::Name(name) => (*name).to_owned(),
        Expr::Number(number) => number.to_string(),
        Expr::Other => "?".to_owned(),
        Expr::Slice(parts) => parts.map(|p| p.map_or(String::new(), s)).join(":"),
        Expr::Test(a, name, b) => format!("{} is {name}({})", s(*a), args(b)),
        Expr::Text(text, _) => format!("{text:?}"),
        Expr::Unary(sign, a) => format!("({sign} {})", s(*a)),
    }
}

#[test]
fn operators_bind_as_they_should() {
    for (source, expected) in [
        ("a + b * c ** d", "(a + (b * (c ** d)))"),
        ("not a in b or c and d", "((not (a in b)) or (c and d))"),
        ("a if b else c, d", "[(b ? a : c),d]"),
        ("x[::-1], y[1:]", "[x[::(- 1)],y[1::]]"),
        ("f(a, *b, k=c, **d)(e).g[0]", "f(a,*=b,k=c,**=d)(e).g[0]"),
        (
            "''.join(chr(c) for c in [1,2] if c)",
            "\"\".join(chr(c) for c in [1,2])",
        ),
        ("{'a': 1, **b}", "{\"a\":1}"),
        ("lambda x, y=1: x + y", "\\(x + y)"),
        (
            "f'a{b!r:>{w}}{{c' 'd'",
            "f[\"\"+\"a\"+b+\"\"+\"{\"+\"c\"+\"d\"]",
        ),
        ("(a)", "a"),
        ("(a,)", "[a]"),
        ("a < b <= c", "((a < b) <= c)"),
        ("x := 1", "(x := 1)"),
        ("b'a' b'b'", "b[97, 98]"),
    ] {
        assert_eq!(shown(source, Dialect::Python), expected, "{source}");
    }
    for (source, expected) in [
        ("a ~ b|join(',') + c", "((a ~ b|join(\",\")) + c)"),
        (
            "a is defined and b is not none",
            "(a is defined() and b is none())",
        ),
        ("a is divisibleby 3", "a is divisibleby(3)"),
        ("m['x'][-1].y", "m[\"x\"][(- 1)].y"),
        (
            "loop.index0 % 2 == 0 if x",
            "(x ? ((loop.index0 % 2) == 0) : )",
        ),
        ("not a is string", "(not a is string())"),
    ] {
        assert_eq!(shown(source, Dialect::Jinja), expected, "{source}");
    }
}

proptest! {
    #[test]
    fn any_text_is_read_to_its_end(source in "[a-c'\"f{}\\[\\]().,:=*|~!<>@ \\\\0-9\n#-]{0,60}") {
        for dialect in [Dialect::Python, Dialect::Jinja] {
            let mut lexer = Lexer::new(&source, dialect);
            while let Some(line) = lexer.logical() {
                let mut parser = Parser::new(&source, line.tokens, dialect);
                while !parser.is_done() {
                    parser.expressions();
                }
                for (id, node) in parser.nodes.iter().enumerate() {
                    if let Expr::Binary(_, a, b) | Expr::Item(a, b) = &node.expr {
                        prop_assert!(*a < id && *b < id);
                    }
                }
            }
        }
    }
}

#[test]
fn depth_is_bounded() {
    for source in [
        "(".repeat(100_000),
        "not ".repeat(100_000),
        "a+".repeat(100_000),
        "x if ".repeat(50_000),
        "f'{".repeat(5_000),
        "a**".repeat(100_000),
        "[x for x in ".repeat(50_000),
        "[x for x in y if ".repeat(50_000),
        "f(a=".repeat(50_000),
        "x[".repeat(50_000),
        "{a:".repeat(50_000),
        "lambda:".repeat(50_000),
        "a is ".repeat(50_000),
        "a|b(".repeat(50_000),
    ] {
        for dialect in [Dialect::Python, Dialect::Jinja] {
            let tokens = Lexer::new(&source, dialect).tokens();
            let mut parser = Parser::new(&source, tokens, dialect);
            while !parser.is_done() {
                parser.expressions();
            }
        }
    }
}
