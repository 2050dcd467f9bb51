//! Expressions, by the strength of what stands between operands.

mod strings;

use super::lex::{Kind, Token};
use super::{Argument, Dialect, Expr, Id, Node};

/// Deepest nesting of brackets, prefixes and choices that is followed; what is deeper is read as if
/// it stood side by side.
const MAX_DEPTH: u32 = 60;

/// Reads expressions from tokens.
pub(crate) struct Parser<'s> {
    source: &'s str,
    tokens: Vec<Token<'s>>,
    at: usize,
    dialect: Dialect,
    depth: u32,
    /// The expressions, each behind what belongs to it.
    pub(crate) nodes: Vec<Node<'s>>,
    /// How often something did not follow the grammar.
    pub(crate) faults: u32,
}

impl<'s> Parser<'s> {
    /// Returns a reader of tokens of a text.
    pub(crate) const fn new(source: &'s str, tokens: Vec<Token<'s>>, dialect: Dialect) -> Self {
        Self {
            source,
            tokens,
            at: 0,
            dialect,
            depth: 0,
            nodes: Vec::new(),
            faults: 0,
        }
    }

    /// Returns the next token.
    pub(crate) fn peek(&self) -> Option<&Kind<'s>> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    /// Returns where the next token stands.
    pub(crate) fn place(&self) -> (usize, u32) {
        let token = self.tokens.get(self.at).or(self.tokens.last());
        token.map_or((0, 1), |token| (token.offset, token.line))
    }

    /// Returns true if nothing is left.
    pub(crate) fn is_done(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// Goes over the next token.
    pub(crate) fn bump(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    /// Goes over a sign, if it is next.
    pub(crate) fn eat(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Kind::Sign(next)) if *next == sign);
        if found {
            self.bump();
        }
        found
    }

    /// Goes over a word, if it is next.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let found = self.is_word(word);
        if found {
            self.bump();
        }
        found
    }

    /// Returns true if a word is next.
    pub(crate) fn is_word(&self, word: &str) -> bool {
        matches!(self.peek(), Some(Kind::Name(next)) if *next == word)
    }

    /// Goes over a name and returns it.
    pub(crate) fn name(&mut self) -> Option<&'s str> {
        let Some(Kind::Name(name)) = self.peek() else {
            return None;
        };
        let name = *name;
        self.bump();
        Some(name)
    }

    /// Goes over a name with dots and returns it.
    pub(crate) fn dotted(&mut self) -> Option<String> {
        let mut dotted = String::new();
        while matches!(self.peek(), Some(Kind::Sign("." | "..."))) {
            dotted.push('.');
            self.bump();
        }
        dotted.push_str(self.name()?);
        while self.eat(".") {
            dotted.push('.');
            dotted.push_str(self.name().unwrap_or_default());
        }
        Some(dotted)
    }

    /// Reads expressions and passes over everything else, up to the end or one of these signs
    /// outside of brackets.
    pub(crate) fn loose(&mut self, ends: &[&str]) {
        while let Some(kind) = self.peek() {
            match kind {
                Kind::Sign(sign) if ends.contains(sign) => return,
                Kind::Sign("(" | "[" | "{" | "-" | "+" | "~")
                | Kind::Name(_)
                | Kind::Text(..)
                | Kind::Bytes(_)
                | Kind::Format(..)
                | Kind::Number(_) => {
                    self.expression();
                }
                _ => self.bump(),
            }
        }
    }

    /// Reads an expression, or several with commas between them, which make a list.
    pub(crate) fn expressions(&mut self) -> Id {
        let place = self.place();
        let first = self.expression();
        if !self.at_comma() {
            return first;
        }
        let mut items = vec![first];
        while self.eat(",") {
            if !self.may_begin() {
                break;
            }
            items.push(self.expression());
        }
        self.push(Expr::List(items), place)
    }

    /// Reads an expression. At least one token is passed over, if there is one.
    pub(crate) fn expression(&mut self) -> Id {
        let before = self.at;
        let place = self.place();
        if self.depth >= MAX_DEPTH {
            self.faults = self.faults.saturating_add(1);
            self.bump();
            return self.push(Expr::Other, place);
        }
        self.depth = self.depth.saturating_add(1);
        let id = self.choice();
        self.depth = self.depth.saturating_sub(1);
        if self.at == before {
            self.bump();
        }
        id
    }

    /// Adds a node.
    pub(crate) fn push(&mut self, expr: Expr<'s>, (_, line): (usize, u32)) -> Id {
        let id = self.nodes.len();
        self.nodes.push(Node { expr, line });
        id
    }

    fn at_comma(&self) -> bool {
        matches!(self.peek(), Some(Kind::Sign(",")))
    }

    // Whether an expression may follow a comma.
    fn may_begin(&self) -> bool {
        match self.peek() {
            None => false,
            Some(Kind::Sign(sign)) => matches!(
                *sign,
                "(" | "[" | "{" | "-" | "+" | "~" | "*" | "**" | "..."
            ),
            Some(Kind::Name(name)) => {
                !matches!(*name, "in" | "if" | "else" | "for" | "as" | "from")
            }
            Some(_) => true,
        }
    }

    fn choice(&mut self) -> Id {
        let place = self.place();
        if self.dialect == Dialect::Python && self.is_word("lambda") {
            return self.lambda();
        }
        let value = self.strength(0);
        if self.eat(":=") {
            let right = self.expression();
            return self.push(Expr::Binary(":=", value, right), place);
        }
        if !self.is_word("if") {
            return value;
        }
        self.bump();
        let condition = self.strength(0);
        let other = self.eat_word("else").then(|| self.expression());
        self.push(Expr::Choice(condition, value, other), place)
    }

    fn lambda(&mut self) -> Id {
        let place = self.place();
        self.bump();
        self.loose(&[":", ")", "]", "}"]);
        self.eat(":");
        let start = self.nodes.len();
        let body = self.expression();
        self.push(Expr::Lambda(start, body), place)
    }

    fn strength(&mut self, least: u8) -> Id {
        let place = self.place();
        let mut left = self.prefixed();
        while let Some((sign, words, strength)) = self.infix() {
            if strength < least || strength == 0 {
                break;
            }
            let place_of = self.place();
            for _ in 0..words {
                self.bump();
            }
            if self.dialect == Dialect::Jinja && sign == "is" {
                left = self.test(left, place);
                continue;
            }
            // Power binds from the right; all others from the left.
            let next = if sign == "**" {
                strength
            } else {
                strength.saturating_add(1)
            };
            if self.depth >= MAX_DEPTH {
                self.faults = self.faults.saturating_add(1);
                return left;
            }
            self.depth = self.depth.saturating_add(1);
            let right = self.strength(next);
            self.depth = self.depth.saturating_sub(1);
            left = self.push(Expr::Binary(sign, left, right), place_of);
        }
        left
    }

    // The operator that is next, how many tokens it has, and how strongly it binds.
    fn infix(&self) -> Option<(&'s str, usize, u8)> {
        let jinja = self.dialect == Dialect::Jinja;
        match self.peek()? {
            Kind::Name("or") => Some(("or", 1, 1)),
            Kind::Name("and") => Some(("and", 1, 2)),
            Kind::Name("in") => Some(("in", 1, 4)),
            Kind::Name("is") => Some(("is", 1, if jinja { 13 } else { 4 })),
            Kind::Name("not") => {
                let next = self
                    .tokens
                    .get(self.at.saturating_add(1))
                    .map(|token| &token.kind);
                matches!(next, Some(Kind::Name("in"))).then_some(("not in", 2, 4))
            }
            Kind::Sign(sign) => {
                let strength = match *sign {
                    "==" | "!=" | "<" | ">" | "<=" | ">=" => 4,
                    "|" if !jinja => 5,
                    "^" => 6,
                    "&" => 7,
                    "<<" | ">>" => 8,
                    "+" | "-" => 9,
                    "~" if jinja => 10,
                    "*" | "/" | "//" | "%" | "@" => 11,
                    "**" => 14,
                    _ => return None,
                };
                Some((sign, 1, strength))
            }
            _ => None,
        }
    }

    fn prefixed(&mut self) -> Id {
        let place = self.place();
        let sign = match self.peek() {
            Some(Kind::Sign(sign @ ("-" | "+" | "~" | "*" | "**"))) => *sign,
            Some(Kind::Name(word @ ("not" | "await" | "yield"))) => *word,
            _ => return self.postfixed(),
        };
        self.bump();
        if sign == "yield" {
            self.eat_word("from");
            if !self.may_begin() {
                return self.push(Expr::Other, place);
            }
        }
        if self.depth >= MAX_DEPTH {
            self.faults = self.faults.saturating_add(1);
            return self.push(Expr::Other, place);
        }
        self.depth = self.depth.saturating_add(1);
        let operand = match sign {
            "not" => self.strength(3),
            "yield" => self.expressions(),
            "*" | "**" => self.strength(5),
            _ => self.strength(12),
        };
        self.depth = self.depth.saturating_sub(1);
        self.push(Expr::Unary(sign, operand), place)
    }

    fn postfixed(&mut self) -> Id {
        let mut value = self.primary();
        loop {
            let place = self.place();
            let expr = match self.peek() {
                Some(Kind::Sign(".")) => {
                    self.bump();
                    match self.peek() {
                        // `a.0` of templates is an item.
                        Some(Kind::Number(number)) => {
                            let number = *number;
                            self.bump();
                            let index = self.push(Expr::Number(number), place);
                            Expr::Item(value, index)
                        }
                        _ => Expr::Attribute(value, self.name().unwrap_or_default()),
                    }
                }
                Some(Kind::Sign("(")) => {
                    self.bump();
                    Expr::Call(value, self.arguments(")"))
                }
                Some(Kind::Sign("[")) => {
                    self.bump();
                    let index = self.index();
                    Expr::Item(value, index)
                }
                Some(Kind::Sign("|")) if self.dialect == Dialect::Jinja => {
                    self.bump();
                    let name = self.filter_name();
                    let arguments = if self.eat("(") {
                        self.arguments(")")
                    } else {
                        Vec::new()
                    };
                    Expr::Filter(value, name, arguments)
                }
                _ => return value,
            };
            value = self.push(expr, place);
        }
    }

    fn filter_name(&mut self) -> &'s str {
        let name = self.name().unwrap_or_default();
        while self.eat(".") {
            self.name();
        }
        name
    }

    fn test(&mut self, value: Id, place: (usize, u32)) -> Id {
        self.eat_word("not");
        let name = self.filter_name();
        let mut arguments = Vec::new();
        if self.eat("(") {
            arguments = self.arguments(")");
        } else {
            let bare = match self.peek() {
                Some(Kind::Name(word)) => {
                    !matches!(*word, "and" | "or" | "else" | "is" | "if" | "not" | "in")
                }
                Some(Kind::Text(..) | Kind::Number(_)) => true,
                Some(Kind::Sign(sign)) => matches!(*sign, "[" | "{"),
                _ => false,
            };
            if bare {
                let value = self.postfixed();
                arguments.push(Argument { name: None, value });
            }
        }
        self.push(Expr::Test(value, name, arguments), place)
    }

    // Arguments up to the bracket that ends them.
    fn arguments(&mut self, end: &str) -> Vec<Argument<'s>> {
        let mut arguments = Vec::new();
        while !self.is_done() && !self.eat(end) {
            if self.eat(",") {
                continue;
            }
            let named = match (self.peek(), self.tokens.get(self.at.saturating_add(1))) {
                (Some(Kind::Name(name)), Some(next)) if next.kind == Kind::Sign("=") => Some(*name),
                (Some(Kind::Sign("*")), _) => Some("*"),
                (Some(Kind::Sign("**")), _) => Some("**"),
                _ => None,
            };
            if let Some(name) = named {
                self.bump();
                if !name.starts_with('*') {
                    self.bump();
                }
            }
            let value = self.element();
            arguments.push(Argument { name: named, value });
            if self.stuck(end) {
                break;
            }
        }
        arguments
    }

    // An expression without a choice at its end.
    fn operand(&mut self) -> Id {
        if self.depth >= MAX_DEPTH {
            return self.expression();
        }
        self.depth = self.depth.saturating_add(1);
        let id = self.strength(0);
        self.depth = self.depth.saturating_sub(1);
        id
    }

    // An expression that may be repeated by `for`.
    fn element(&mut self) -> Id {
        let place = self.place();
        let mut value = self.expression();
        while self.is_word("for") || self.is_word("async") {
            self.eat_word("async");
            self.bump();
            let target = match (self.peek(), self.tokens.get(self.at.saturating_add(1))) {
                (Some(Kind::Name(name)), Some(next)) if next.kind == Kind::Name("in") => *name,
                _ => "",
            };
            while !self.is_done() && !self.is_word("in") {
                self.bump();
            }
            self.bump();
            let over = self.operand();
            value = self.push(Expr::Each(value, target, over), place);
            while self.eat_word("if") {
                self.operand();
            }
        }
        value
    }

    fn index(&mut self) -> Id {
        let place = self.place();
        let mut parts = [None; 3];
        let mut items = Vec::new();
        let mut colons = 0_usize;
        while !self.is_done() && !self.eat("]") {
            if self.eat(":") {
                colons = colons.saturating_add(1);
            } else if self.eat(",") {
                items.extend(parts.first_mut().and_then(Option::take));
            } else {
                let value = self.element();
                if let Some(part) = parts.get_mut(colons) {
                    *part = Some(value);
                }
                if self.stuck("]") {
                    break;
                }
            }
        }
        if colons > 0 {
            return self.push(Expr::Slice(parts), place);
        }
        match (parts.first().copied().flatten(), items.is_empty()) {
            (Some(only), true) => only,
            (last, _) => {
                items.extend(last);
                self.push(Expr::List(items), place)
            }
        }
    }

    // After an item: passes over what can be no part of a list. Returns true at the end.
    fn stuck(&mut self, end: &str) -> bool {
        loop {
            match self.peek() {
                None => return true,
                Some(Kind::Sign(sign)) if *sign == end || matches!(*sign, "," | ":") => {
                    return false;
                }
                Some(Kind::Sign(")" | "]" | "}")) => {
                    // Another bracket closes: this list ends here.
                    self.faults = self.faults.saturating_add(1);
                    return true;
                }
                Some(Kind::Sign(sign)) if !matches!(*sign, "(" | "[" | "{" | "=") => {
                    self.faults = self.faults.saturating_add(1);
                    self.bump();
                }
                Some(Kind::Sign("=")) => self.bump(),
                Some(_) => {
                    self.faults = self.faults.saturating_add(1);
                    return false;
                }
            }
        }
    }

    fn primary(&mut self) -> Id {
        let place = self.place();
        let Some(token) = self.tokens.get_mut(self.at) else {
            self.faults = self.faults.saturating_add(1);
            return self.push(Expr::Other, place);
        };
        // A string may be large, and is read once.
        let kind = std::mem::replace(&mut token.kind, Kind::Other);
        let expr = match kind {
            Kind::Text(..) | Kind::Bytes(_) | Kind::Format(..) => {
                self.bump();
                return self.strings(kind, place);
            }
            Kind::Sign(sign @ ("(" | "[" | "{")) => {
                self.bump();
                return self.bracket(sign, place);
            }
            Kind::Name(name) => Expr::Name(name),
            Kind::Number(number) => Expr::Number(number),
            Kind::Sign("...") | Kind::Other => Expr::Other,
            Kind::Sign(sign) => {
                // Whoever reads further needs to see it.
                if let Some(token) = self.tokens.get_mut(self.at) {
                    token.kind = Kind::Sign(sign);
                }
                self.faults = self.faults.saturating_add(1);
                return self.push(Expr::Other, place);
            }
        };
        self.bump();
        self.push(expr, place)
    }

    fn bracket(&mut self, open: &str, place: (usize, u32)) -> Id {
        let close = match open {
            "(" => ")",
            "[" => "]",
            _ => "}",
        };
        let mut items = Vec::new();
        let mut pairs = Vec::new();
        let mut commas = 0_usize;
        while !self.is_done() && !self.eat(close) {
            if self.eat(",") {
                commas = commas.saturating_add(1);
                continue;
            }
            let item = self.element();
            if open == "{" && self.eat(":") {
                let value = self.element();
                pairs.push((item, value));
            } else {
                items.push(item);
                self.eat(":");
            }
            if self.stuck(close) {
                break;
            }
        }
        let plain = open == "(" && commas == 0;
        match (items.as_slice(), plain, pairs.is_empty()) {
            ([only], true, _) => *only,
            (_, _, false) => self.push(Expr::Dict(pairs), place),
            ([], _, _) if open == "{" => self.push(Expr::Dict(pairs), place),
            _ => self.push(Expr::List(items), place),
        }
    }
}

#[cfg(test)]
mod tests;
