//! What it all costs, as one table of ratios: each figure beside its floor on the same server, in turns, in one run.
//!
//! `make bench`; `BENCH=a,b,g make bench` for some of it, `BENCH_FULL=1` for the long cases. docs/performance.md says how it is
//! measured. Absolute figures are this machine's; the ratios are what counts.

#![allow(clippy::unwrap_used, missing_docs)]

mod claim;
mod drain;
mod ground;
mod host;
mod latency;
mod memory;
mod others;
mod table;

use table::Table;

/// Part, what it measures.
const PARTS: [(char, &str); 7] = [
    ('a', "write overhead on the host's table"),
    ('b', "drain of a backlog"),
    ('c', "evaluation (benches/evaluation.rs)"),
    ('d', "commit to HTTP request"),
    ('e', "campaign (benches/campaign.rs)"),
    ('f', "resident memory"),
    ('g', "empty poll and claim"),
];

fn main() {
    if !std::env::args().any(|a| a == "--bench") {
        println!("run it with make bench");
        return;
    }
    let chosen = std::env::var("BENCH").unwrap_or_default();
    let full = std::env::var("BENCH_FULL").is_ok_and(|v| !v.is_empty() && v != "0");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut table = Table::default();
    for (part, name) in PARTS {
        if !chosen.is_empty() && !chosen.contains(part) {
            continue;
        }
        eprintln!("{part}. {name}");
        let begun = std::time::Instant::now();
        match part {
            'a' => runtime.block_on(host::run(&mut table, full)),
            'b' => runtime.block_on(drain::run(&mut table, full)),
            'c' => others::evaluation(&mut table, full),
            'd' => runtime.block_on(latency::run(&mut table, full)),
            'e' => others::campaign(&mut table, full),
            'f' => runtime.block_on(memory::run(&mut table, full)),
            _ => runtime.block_on(claim::run(&mut table, full)),
        }
        eprintln!("   {:.0} s", begun.elapsed().as_secs_f64());
    }
    println!("{table}");
}
