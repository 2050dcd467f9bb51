//! Bounds the depth of a policy's syntax tree before anything recurses over it.
//!
//! The engine's parser limits nesting by brackets, but not chains: `1+1+1+...` and `a.b.c...`
//! become trees as deep as they are long, and walking those ends the process by stack overflow,
//! which no `catch_unwind` stops. This scan reads brackets, operators and dots only; it does not
//! need to understand the text, and errs on the side of counting too much.

/// Returns true if the text stays within `limit` levels of brackets and chained operators.
pub(crate) fn within(text: &str, limit: usize) -> bool {
    let mut scan = Scan {
        levels: vec![0],
        newline: false,
        continues: false,
    };
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        match byte {
            b'#' => while bytes.next_if(|b| *b != b'\n').is_some() {},
            b'"' => {
                skip_string(&mut bytes);
                scan.operand();
            }
            b'`' => {
                while bytes.next().is_some_and(|b| b != b'`') {}
                scan.operand();
            }
            b'\n' => scan.newline = true,
            b'(' | b'[' | b'{' => scan.open(),
            b')' | b']' | b'}' => scan.close(),
            b',' | b';' => scan.separate(),
            b'.' => scan.operator(),
            _ if is_operator(byte) => {
                while bytes.next_if(|b| is_operator(*b)).is_some() {}
                scan.operator();
            }
            _ if byte.is_ascii_whitespace() => {}
            _ => {
                let mut word = vec![byte];
                while let Some(next) = bytes.next_if(|b| is_word(*b)) {
                    word.push(next);
                }
                if word == b"in" {
                    scan.operator();
                } else {
                    scan.operand();
                }
            }
        }
        if scan.depth() > limit {
            return false;
        }
    }
    true
}

struct Scan {
    // Operators seen since the last separator, for each open bracket.
    levels: Vec<usize>,
    newline: bool,
    // The last token was an operator, so that a newline does not end the chain.
    continues: bool,
}

impl Scan {
    fn depth(&self) -> usize {
        self.levels
            .iter()
            .fold(self.levels.len(), |sum, level| sum.saturating_add(*level))
    }

    fn operand(&mut self) {
        if self.newline && !self.continues {
            self.separate();
        }
        self.newline = false;
        self.continues = false;
    }

    fn operator(&mut self) {
        self.newline = false;
        self.continues = true;
        if let Some(level) = self.levels.last_mut() {
            *level = level.saturating_add(1);
        }
    }

    fn open(&mut self) {
        // A bracket right behind an operand continues it: `f(x)(y)[z]`.
        if self.newline && !self.continues {
            self.separate();
        }
        self.newline = false;
        if let Some(level) = self.levels.last_mut() {
            *level = level.saturating_add(1);
        }
        self.levels.push(0);
        self.continues = true;
    }

    fn close(&mut self) {
        if self.levels.len() > 1 {
            self.levels.pop();
        }
        self.newline = false;
        self.continues = false;
    }

    fn separate(&mut self) {
        if let Some(level) = self.levels.last_mut() {
            *level = 0;
        }
        self.newline = false;
        self.continues = true;
    }
}

fn skip_string(bytes: &mut impl Iterator<Item = u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            // A string does not span lines; the parser will say so.
            b'"' | b'\n' => return,
            _ => {}
        }
    }
}

fn is_operator(byte: u8) -> bool {
    b"+-*/%&|=<>!:".contains(&byte)
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_and_brackets_count() {
        assert!(within("package a\nr := 1 + 2 + 3\n", 8));
        assert!(!within(&format!("r := 1{}", " + 1".repeat(50)), 40));
        assert!(!within(&format!("r := 1{}", " +\n 1".repeat(50)), 40));
        assert!(!within(&format!("r := 1{}", "\n+ 1".repeat(50)), 40));
        assert!(!within(&format!("r := a{}", ".b".repeat(50)), 40));
        assert!(!within(&format!("r := a{}", "[0]".repeat(50)), 40));
        assert!(!within(&format!("r := a{}", " in b".repeat(50)), 40));
        assert!(!within(&"[".repeat(50), 40));
        assert!(!within(&"(1 + ".repeat(25), 40));
    }

    #[test]
    fn long_files_of_short_lines_do_not_count() {
        assert!(within(
            &"r contains x if { x := input.a.b[0]; x > 1 }\n".repeat(500),
            12
        ));
        assert!(within(&format!("r := [{}]", "1 + 1, ".repeat(500)), 12));
        let table = "  \"key\": {\"a\": 1},\n".repeat(500);
        assert!(within(&format!("r := {{\n{table}}}"), 12));
        assert!(within(
            &"# [[[[[[[[[[[[[[\nr := \"((((((((((((((\"\ns := `]]((((((\n((((`\n".repeat(9),
            8
        ));
    }
}
