//! Where a pushed release comes from: as the caller says, or else as the environment of a CI does.

use model::fleet::Provenance;

use crate::args::From;

/// Most that is taken from the environment, in bytes: what nobody has asked for must not have a push refused.
const LIMIT_BYTES: usize = 512;

/// What is said, and where it is not, what the environment says.
pub(super) fn of(said: From, environment: impl Fn(&str) -> Option<String>) -> Provenance {
    let variable = |name: &str| {
        let value = environment(name)?;
        let value: String = value.chars().filter(|letter| !letter.is_control()).collect();
        let value = &value[..value.floor_char_boundary(LIMIT_BYTES)];
        (!value.is_empty()).then(|| value.to_owned())
    };
    let first = |names: [&str; 3]| names.into_iter().find_map(variable);
    let github = || {
        let (server, repository) = (variable("GITHUB_SERVER_URL")?, variable("GITHUB_REPOSITORY")?);
        Some(format!("{server}/{repository}/actions/runs/{}", variable("GITHUB_RUN_ID")?))
    };
    let run = || github().or_else(|| variable("CI_JOB_URL")).or_else(|| variable("BUILDKITE_BUILD_URL"));
    let rev = || first(["GITHUB_SHA", "CI_COMMIT_SHA", "BUILDKITE_COMMIT"]);
    let author = || first(["GITHUB_ACTOR", "GITLAB_USER_LOGIN", "BUILDKITE_BUILD_AUTHOR"]);
    Provenance {
        git_rev: said.git_rev.or_else(rev).unwrap_or_default(),
        ci_run: said.ci_run.or_else(run).unwrap_or_default(),
        author: said.author.or_else(author).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(said: [Option<&str>; 3], environment: &[(&str, &str)]) -> [String; 3] {
        let [git_rev, ci_run, author] = said.map(|word| word.map(str::to_owned));
        let found = of(From { git_rev, ci_run, author }, |name| {
            let found = environment.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        });
        [found.git_rev, found.ci_run, found.author]
    }

    #[test]
    fn what_is_said_goes_before_what_the_environment_says() {
        let github = [
            ("GITHUB_SHA", "1a2b"),
            ("GITHUB_SERVER_URL", "https://github.com"),
            ("GITHUB_REPOSITORY", "acme/web"),
            ("GITHUB_RUN_ID", "77"),
            ("GITHUB_ACTOR", "ann"),
        ];
        let run = "https://github.com/acme/web/actions/runs/77";
        assert_eq!(told([None; 3], &github), ["1a2b", run, "ann"]);
        assert_eq!(told([Some("x"), Some(""), Some("bob")], &github), ["x", "", "bob"]);
        let gitlab =
            [("CI_COMMIT_SHA", "3c4d"), ("CI_JOB_URL", "https://gitlab/1"), ("GITLAB_USER_LOGIN", "")];
        assert_eq!(told([None; 3], &gitlab), ["3c4d", "https://gitlab/1", ""]);
        assert_eq!(told([None; 3], &github[..3]), ["1a2b", "", ""], "half an address is none");
        assert_eq!(told([None; 3], &[]), ["", "", ""]);
    }

    #[test]
    fn what_nobody_has_asked_for_is_cut_to_what_fits() {
        let long = "ä".repeat(400);
        let [rev, _, author] = told([None; 3], &[("GITHUB_SHA", &long), ("GITHUB_ACTOR", "a\nb")]);
        assert_eq!((rev.len(), author.as_str()), (512, "ab"));
    }
}
