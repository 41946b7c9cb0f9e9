//! Everything in the interface is explained where it is declared.

use super::tree::Tree;
use crate::verify::Problem;

/// Statements that start like a declaration and are none.
const PLAIN: [&str; 6] = ["syntax", "package", "import", "option", "reserved", "extensions"];

/// Declarations that start with their own word.
const NAMED: [&str; 5] = ["message", "enum", "service", "rpc", "oneof"];

pub(super) fn check(tree: &Tree) -> Vec<Problem> {
    let files = tree.with_extension("proto");
    let found = files.flat_map(|(path, text)| {
        let undocumented = undocumented(text).into_iter();
        undocumented.map(move |(line, what)| {
            Problem::at(path, line, format!("{what} has no comment; say on the line above what it means"))
        })
    });
    found.collect()
}

/// Declarations without a comment on the line above or behind them, with their lines.
fn undocumented(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut after_comment = false;
    for (number, line) in (1..).zip(text.lines().map(str::trim)) {
        if line.starts_with("//") {
            after_comment = true;
            continue;
        }
        if let Some(what) = declared(line)
            && !after_comment
            && !line.contains("//")
        {
            found.push((number, what));
        }
        after_comment = false;
    }
    found
}

/// What a line declares, in words, if it does.
fn declared(line: &str) -> Option<String> {
    let code = line.split("//").next()?.trim();
    let words: Vec<_> = code.split(|c: char| c.is_whitespace() || matches!(c, '(' | '{' | ';')).collect();
    let first = *words.first()?;
    if PLAIN.contains(&first) {
        return None;
    }
    if NAMED.contains(&first) && words.len() > 1 && !code.contains('=') {
        return Some(format!("{first} {}", words[1]));
    }
    let (before, after) = code.split_once('=')?;
    let is_numbered = after.trim_start().starts_with(|c: char| c.is_ascii_digit());
    let name = before.split_whitespace().last().filter(|_| is_numbered)?;
    let is_value = before.split_whitespace().count() == 1;
    // The zero of an enum says that nothing was said; its name says so already.
    if is_value && name.ends_with("_UNSPECIFIED") {
        return None;
    }
    Some(if is_value { format!("value {name}") } else { format!("field {name}") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_explains_everything_passes() {
        let text = r#"
syntax = "proto3";
package a.v1;
import "b.proto";
// A.
service A {
  // Asks.
  rpc Ask(Question) returns (stream Answer) {
    option deprecated = true;
  }
}
// Q.
message Question {
  reserved 3, 4;
  // Which.
  repeated string name = 1;
  map<string, uint32> ages = 2; // In years.
  // How.
  oneof how {
    // So.
    bool so = 5 [deprecated = true];
  }
}
// What.
enum Kind {
  KIND_UNSPECIFIED = 0;
  // One.
  KIND_ONE = 1;
}
"#;
        assert_eq!(undocumented(text), []);
    }

    #[test]
    fn each_kind_of_declaration_is_missed_by_name_and_line() {
        for (line, what) in [
            ("service A {", "service A"),
            ("rpc Ask(Question) returns (Answer);", "rpc Ask"),
            ("rpc Ask (Question)", "rpc Ask"),
            ("message M {}", "message M"),
            ("enum E {", "enum E"),
            ("oneof how {", "oneof how"),
            ("string name = 1;", "field name"),
            ("optional message.Type message = 12;", "field message"),
            ("map<string, uint32> ages=2;", "field ages"),
            ("KIND_ONE = 1;", "value KIND_ONE"),
        ] {
            assert_eq!(undocumented(&format!("\n{line}\n")), [(2, what.to_owned())], "{line}");
            assert_eq!(undocumented(&format!("// About it.\n{line}\n")), [], "{line}");
            assert_eq!(undocumented(&format!("// About something else.\n\n{line}\n")).len(), 1, "{line}");
        }
    }

    #[test]
    fn the_problem_says_where_and_what_to_do() {
        let found = check(&Tree::of(&[("proto/a.proto", "message M {}\n"), ("a.rs", "message M {}\n")]));
        let found: Vec<_> = found.iter().map(Problem::to_string).collect();
        assert_eq!(found, ["proto/a.proto:1: message M has no comment; say on the line above what it means"]);
    }
}
