use super::*;

const EXAMPLE: &str = include_str!("../../systemd/config.toml.example");

fn refused(text: &str) -> String {
    let config: Config = toml::from_str(text).expect("parses");
    config.check().expect_err("refused").to_string()
}

#[test]
fn the_example_file_is_the_defaults() {
    let example: Config = toml::from_str(EXAMPLE).expect("parses");
    example.check().expect("fits together");
    assert!(
        example.same_as(&Config::default()),
        "{example:#?}\n{:#?}",
        Config::default()
    );
}

#[test]
fn the_example_file_with_its_comments_opened_parses_too() {
    // What is commented out as an example is `# key = value`; prose is not of that form.
    let opened: String = EXAMPLE
        .lines()
        .map(|line| {
            let key = line.strip_prefix("# ").filter(|rest| {
                rest.split_once(" = ")
                    .is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
            });
            format!("{}\n", key.unwrap_or(line))
        })
        .collect();
    let config: Config = toml::from_str(&opened).expect("parses");
    config.check().expect("fits together");
    assert!(config.database.url.is_some() && config.database.ca_file.is_some() && config.name.is_some());
}

#[test]
fn the_example_file_names_every_key() {
    for section in [
        "",
        "[database]\n",
        "[capture]\n",
        "[evaluate]\n",
        "[python]\n",
        "[deliver]\n",
        "[http]\n",
    ] {
        // serde lists what it knows in the error for what it does not know.
        let error = toml::from_str::<Config>(&format!("{section}no_such_key = 1\n"))
            .expect_err("refused")
            .to_string();
        let (_, known) = error.split_once("expected").expect("lists the keys");
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        assert!(known.len() > 1, "{error}");
        for key in known {
            let shown = EXAMPLE.lines().any(|l| {
                let l = l.strip_prefix("# ").unwrap_or(l);
                l.starts_with(&format!("{key} = ")) || l == format!("[{key}]")
            });
            assert!(shown, "{key} of {section:?} is not in the example");
        }
    }
}

#[test]
fn an_unknown_key_is_an_error_that_names_it() {
    let error = toml::from_str::<Config>("[deliver]\nconcurency = 3\n")
        .expect_err("refused")
        .to_string();
    assert!(
        error.contains("concurency") && error.contains("concurrency"),
        "{error}"
    );
}

#[test]
fn a_lease_is_longer_than_a_request() {
    assert!(refused("[deliver]\nlease_seconds = 30\n").contains("lease_seconds"));
    Config::default().check().expect("defaults fit together");
}

#[test]
fn connecting_is_a_part_of_the_request() {
    let error = refused("[deliver]\nconnect_timeout_seconds = 20\nrequest_timeout_seconds = 10\n");
    assert!(error.contains("connect_timeout_seconds"), "{error}");
}

#[test]
fn a_lease_outlives_four_beats() {
    let error = refused("[deliver]\nheartbeat_ms = 10000\nlease_seconds = 40\n");
    assert!(error.contains("heartbeat_ms"), "{error}");
}

#[test]
fn every_number_has_its_bounds_in_the_message() {
    for (text, key) in [
        ("[database]\npool_size = 1\n", "database.pool_size"),
        (
            "[database]\nconnect_timeout_seconds = 0\n",
            "database.connect_timeout_seconds",
        ),
        ("[capture]\npoll_interval_ms = 1\n", "capture.poll_interval_ms"),
        (
            "[capture]\nverify_interval_seconds = 0\n",
            "capture.verify_interval_seconds",
        ),
        ("[evaluate]\nbatch_records = 0\n", "evaluate.batch_records"),
        (
            "[evaluate]\nbatch_timeout_seconds = 61\n",
            "evaluate.batch_timeout_seconds",
        ),
        ("[deliver]\nconcurrency = 0\n", "deliver.concurrency"),
        ("[deliver]\ncircuit_seconds = 0\n", "deliver.circuit_seconds"),
    ] {
        let error = refused(text);
        assert!(error.contains(key) && error.contains("must be from"), "{error}");
    }
}

#[test]
fn a_healthy_round_is_never_called_stuck() {
    let config = Config::default();
    assert_eq!(config.longest_round(), Duration::from_secs(45));
    let long: Config = toml::from_str("[evaluate]\nbatch_timeout_seconds = 60\n").expect("parses");
    assert!(long.longest_round() > Duration::from_secs(120));
}

#[test]
fn debug_output_shows_no_password() {
    let config: Config = toml::from_str("[database]\nurl = \"postgres://u:hunter2@h/d\"\n").expect("parses");
    assert!(!format!("{config:?}").contains("hunter2"));
}
