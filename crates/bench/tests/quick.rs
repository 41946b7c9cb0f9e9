//! The quick run produces every figure, and leaves neither processes nor files behind. No time is asserted.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;

/// Every part, with how many figures it has at least.
const PARTS: [(&str, usize); 6] =
    [("overhead", 6), ("handoff", 1), ("push", 2), ("leader", 2), ("idle", 5), ("traffic", 1)];

#[test]
fn a_quick_run_measures_everything_and_cleans_up() {
    let dir = tempfile::TempDir::new().unwrap();
    let (result, states) = (dir.path().join("result.json"), dir.path().join("states"));
    fs::create_dir(&states).unwrap();
    let mut bench = Command::new(env!("CARGO_BIN_EXE_deployinator-bench"));
    bench.arg("--quick").arg("--json").arg(&result).arg("--dir").arg(&states);
    let output = bench.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}", output.status);

    let report: Value = serde_json::from_slice(&fs::read(&result).unwrap()).unwrap();
    let sections = report["sections"].as_array().unwrap();
    for (part, least) in PARTS {
        let section = sections.iter().find(|section| section["part"] == part);
        let figures = section.unwrap_or_else(|| panic!("no part {part}"))["figures"].as_array().unwrap();
        assert!(least <= figures.len(), "{part}: {figures:#?}");
        for figure in figures {
            let measured = figure["number"].as_f64().is_some_and(f64::is_finite) && figure["unit"] != "";
            assert!(measured && figure["samples"] != 0, "{part}: {figure}");
        }
    }
    let page = String::from_utf8_lossy(&output.stdout);
    assert_eq!(page.matches("\n### ").count(), PARTS.len(), "{page}");

    let left: Vec<_> = fs::read_dir(&states).unwrap().collect();
    assert!(left.is_empty(), "files are left: {left:?}");
    assert_eq!(processes_of(&states), Vec::<String>::new(), "processes are left");
}

/// Every process that was told of `dir`.
fn processes_of(dir: &Path) -> Vec<String> {
    let dir = dir.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| fs::read_to_string(process.path().join("cmdline")).ok());
    lines.filter(|line| line.contains(dir)).collect()
}
