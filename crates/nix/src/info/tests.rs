use super::*;

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::to_owned).collect()
}

fn key(name: &str) -> Settings {
    Settings { keys: vec![format!("{name}:AAAA")], ..Settings::default() }
}

#[test]
fn what_a_cache_has_is_read_from_lists_and_maps_of_all_versions() {
    let here = Info { signed_by: vec!["lab-1".into()], content_addressed: false };
    let old = r#"[{"path":"/s/a","valid":false},
        {"path":"/s/b","narHash":"sha256-x","narSize":8,"references":[],"signatures":["lab-1:sig=="]}]"#;
    let new =
        r#"{"/s/a":null,"/s/b":{"ca":null,"narHash":"sha256-x","narSize":8,"signatures":["lab-1:sig=="]}}"#;
    let newest = r#"{"/s/a":null,"/s/b":{"ca":null,"narHash":{"algorithm":"sha256","hash":"x"},
        "signatures":[{"keyName":"lab-1","sig":"x"}],"version":3}}"#;
    for json in [old, new, newest] {
        let found = path_infos(json).unwrap();
        assert_eq!(found["/s/a"], None, "{json}");
        assert_eq!(found["/s/b"], Some(here.clone()), "{json}");
    }
    let fixed = path_infos(r#"[{"path":"/s/c","narHash":"x","ca":"fixed:r:sha256:1"}]"#).unwrap();
    assert!(fixed["/s/c"].as_ref().unwrap().content_addressed);
    assert!(path_infos("error").is_err());
    assert!(path_infos("3").is_err());
}

#[test]
fn who_is_trusted() {
    let signed = Info { signed_by: vec!["other".into(), "lab-1".into()], content_addressed: false };
    assert!(key("lab-1").trusts("file:///c", &signed));
    assert!(!key("lab").trusts("file:///c", &signed));
    assert!(key("lab").trusts("file:///c?priority=3&trusted=true", &signed));
    assert!(!key("lab").trusts("file:///c?trusted=false", &signed));
    assert!(key("lab").trusts("file:///c", &Info { content_addressed: true, ..signed.clone() }));
    assert!(Settings { takes_unsigned: true, ..key("lab") }.trusts("file:///c", &Info::default()));
    assert!(!key("lab").trusts("file:///c", &Info::default()));
}

#[test]
fn settings_are_lists_or_texts() {
    let list = r#"{"substituters":{"value":["a","b"]},"trusted-public-keys":{"value":["k:1"]},"require-sigs":{"value":true}}"#;
    let text = r#"{"substituters":{"value":"a b"},"trusted-public-keys":{"value":"k:1"}}"#;
    let expected =
        Settings { caches: vec!["a".into(), "b".into()], keys: vec!["k:1".into()], takes_unsigned: false };
    assert_eq!(Settings::read(list), Ok(expected.clone()));
    assert_eq!(Settings::read(text), Ok(expected));
    let loose = Settings::read(r#"{"require-sigs":{"value":false}}"#).unwrap();
    assert!(loose.takes_unsigned && loose.caches.is_empty());
}

#[test]
fn a_plan_is_read_from_what_nix_says() {
    let said = "these 2 paths will be fetched (1.00 MiB download, 8.00 MiB unpacked):
  /nix/store/a
  /nix/store/b
don't know how to build these paths:
  /nix/store/c
warning: something
  /nix/store/d";
    let plan = Plan::read(&lines(said));
    assert_eq!(plan.fetched, ["/nix/store/a", "/nix/store/b"]);
    assert_eq!(plan.unknown, ["/nix/store/c"]);
    assert!((8 << 20..9 << 20).contains(&plan.unpacked_bytes), "{}", plan.unpacked_bytes);
    let newer = Plan::read(&lines(
        "this path will be fetched (0.00 KiB download, 1.50 GiB unpacked):\n  /nix/store/a",
    ));
    assert!((3 << 29..(3 << 29) + (1 << 26)).contains(&newer.unpacked_bytes), "{}", newer.unpacked_bytes);
    assert_eq!(Plan::read(&[]), Plan::default());
}

#[test]
fn caches_that_gave_no_answer_are_left_out() {
    let said =
        "warning: error: unable to download 'http://a:1/nix-cache-info': Timeout (28); retrying in 3 ms
warning: unable to download 'http://b:1/x/nix-cache-info': Timeout (28)
this path will be fetched (0.00 MiB download, 0.00 MiB unpacked):
  /nix/store/a";
    let plan = Plan::read(&lines(said));
    assert_eq!(
        (plan.silent.as_slice(), plan.fetched.len()),
        (&["http://b:1/x/nix-cache-info".to_owned()][..], 1)
    );
    let caches = lines("http://a:1\nhttp://b:1/x/?priority=1\nhttp://b:1/xy\nfile:///c");
    assert_eq!(plan.answering(&caches), lines("http://a:1\nhttp://b:1/xy\nfile:///c"));
}

#[test]
fn programs_are_read_from_a_listing() {
    let listing = |entries: &str| format!(r#"{{"type":"directory","entries":{{{entries}}}}}"#);
    let run = r#"{"type":"regular","size":3,"executable":true}"#;
    let here = |serve, migrate| Ok(Programs::Here { serve, migrate });
    assert_eq!(programs(&listing(&format!("\"serve\":{run},\"migrate\":{run}"))), here(true, true));
    assert_eq!(programs(&listing(&format!("\"serve\":{run}"))), here(true, false));
    let link = r#""serve":{"type":"symlink","target":"../libexec/x"}"#;
    assert_eq!(programs(&listing(link)), here(true, false));
    assert_eq!(programs(&listing(r#""serve":{"type":"regular","size":3}"#)), here(false, false));
    assert_eq!(
        programs(r#"{"type":"symlink","target":"/nix/store/x/bin"}"#),
        Ok(Programs::Elsewhere("/nix/store/x/bin".into()))
    );
    assert_eq!(programs(r#"{"type":"regular","size":3}"#), Ok(Programs::Nowhere));
    assert!(programs("").is_err());
}
