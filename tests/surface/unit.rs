//! The unit file, as systemd itself judges it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/sicantik-notifyd.service")
}

/// Where systemd's tools are installed.
#[test]
fn its_exposure_is_at_most_one_and_a_half() {
    let mut analyze = Command::new("systemd-analyze");
    analyze
        .args(["security", "--offline=yes", "--no-pager", "--threshold=15"])
        .arg(file());
    match analyze.output() {
        Err(error) => println!("systemd-analyze cannot be run here ({error}): the unit was not judged"),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert!(
                output.status.success(),
                "{text}\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}

#[test]
fn its_times_fit_the_daemons() {
    let text = std::fs::read_to_string(file()).expect("the unit");
    let values: HashMap<&str, &str> = text.lines().filter_map(|l| l.split_once('=')).collect();
    let seconds = |key: &str| values[key].parse::<u64>().expect("seconds");
    assert_eq!((values["Type"], values["Restart"]), ("notify", "on-failure"));
    assert!(
        seconds("TimeoutStopSec") > 10,
        "longer than the daemon needs to finish"
    );
    let healthy = sicantik_notifyd::config::Config::default().longest_round();
    assert!(
        seconds("WatchdogSec") > healthy.as_secs(),
        "a first healthy round is not killed"
    );
}
