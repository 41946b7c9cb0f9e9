use std::fs;

use super::*;

fn read_text(text: &str) -> Vec<(String, String)> {
    parse(text).unwrap_or_else(|wrong| panic!("{wrong:?} in {text:?}"))
}

fn one(text: &str) -> String {
    let [(name, value)] = &read_text(text)[..] else { panic!("{text:?} is not one variable") };
    assert_eq!(name, "A");
    value.clone()
}

#[test]
fn values_are_read_as_systemd_documents_them() {
    for (text, value) in [
        ("A=", ""),
        ("A=1", "1"),
        (" A = 1 2 \t\r\n", "1 2"),
        ("A=1=2 # 3", "1=2 # 3"),
        ("A=it's \"so\"", "it's \"so\""),
        (r"A=\\ \a \ ", r"\ a  "),
        ("A=1 \\\n2", "1 2"),
        ("A='a \\ \"b\"\n# c'  \n", "a \\ \"b\"\n# c"),
        ("A=\"\\\" \\\\ \\` \\$ \\n \\\nb\"", "\" \\ ` $ \\n b"),
        ("A=''", ""),
        ("A=\\", ""),
        ("A=é", "é"),
    ] {
        assert_eq!(one(text), value, "{text:?}");
    }
}

#[test]
fn comments_and_empty_lines_are_skipped_and_the_order_is_kept() {
    let pairs = read_text("# A=1\n\n ; B=2\nC=3\n\n\t#\nC=4\nD=5");
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(pairs, ["C=3", "C=4", "D=5"]);
}

#[test]
fn what_means_nothing_is_named_by_its_line_and_never_shown() {
    for (text, line, problem) in [
        ("A=1\n\nsecret\nB=2", 3, "holds no `=`"),
        ("export A=secret", 1, "no `export`"),
        ("1A=secret", 1, "starts with no digit"),
        ("=secret", 1, "name before `=`"),
        ("# x\nA='secret\n\n", 2, "does not end"),
        ("A=\"b\nc\" secret", 2, "after the closing quote"),
        ("PORT=1", 1, "set by Deployinator"),
        ("DEPLOYINATOR_HOST=x", 1, "set by Deployinator"),
        ("A=1\nB=secret\0", 2, "zero byte"),
    ] {
        let (at, said) = parse(text).unwrap_err();
        assert_eq!(at, line, "{text:?}: {said}");
        assert!(said.contains(problem) && !said.contains("secret"), "{text:?}: {said}");
    }
}

#[test]
fn a_later_file_wins_and_only_an_optional_one_may_be_missing() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, optional| EnvironmentFile { path: dir.path().join(name), optional };
    fs::write(dir.path().join("one"), "A=1\nB=1\n").unwrap();
    fs::write(dir.path().join("two"), "B=2\n").unwrap();
    let found = read(&[file("one", false), file("none", true), file("two", true)]).unwrap();
    assert_eq!(found, BTreeMap::from([("A".into(), "1".into()), ("B".into(), "2".into())]));
    let missing = read(&[file("none", false)]).unwrap_err();
    assert!(missing.to_string().ends_with("/none"), "{missing}");
    fs::write(dir.path().join("bad"), "B\n").unwrap();
    let bad = read(&[file("bad", true)]).unwrap_err().to_string();
    assert!(bad.contains("/bad, line 1: "), "{bad}");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert!(matches!(read(&[file("pipe", false)]), Err(EnvironmentError::Read { .. })));
}
