//! docs/panduan.md is performed, chapter by chapter: what it tells an administrator to type is typed, what it shows comes out, and the
//! messages that it speaks of reach the providers.
//!
//! With `PANDUAN_TULIS=1` (and one test at a time) outputs that differ are written into the page instead.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod desk;

#[path = "panduan/output.rs"]
mod output;
#[path = "panduan/page.rs"]
mod page;
#[path = "panduan/walk.rs"]
mod walk;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/panduan.md");

fn chapters() -> Vec<page::Chapter> {
    page::chapters(&std::fs::read_to_string(PAGE).unwrap())
}

async fn chapter(number: usize) {
    let chapters = chapters();
    let begins = format!("{number}. ");
    let chapter = chapters
        .iter()
        .find(|c| c.title.starts_with(&begins))
        .expect("the chapter");
    let (written, failed) = walk::perform(chapter).await;
    if !written.is_empty() {
        write(written);
    }
    if let Some(failed) = failed {
        panic!("{failed}");
    }
}

fn write(mut written: Vec<(usize, usize, String)>) {
    let text = std::fs::read_to_string(PAGE).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    written.sort();
    for (from, to, new) in written.iter().rev() {
        lines.splice(from - 1..to - 1, new.lines());
    }
    std::fs::write(PAGE, lines.join("\n") + "\n").unwrap();
}

macro_rules! chapters {
    ($($name:ident = $number:literal),*) => {
        $(#[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            chapter($number).await;
        })*

        #[test]
        fn no_chapter_is_left_out() {
            let performed = [$($number),*];
            for (chapter, number) in chapters().iter().zip(1..) {
                assert!(chapter.title.starts_with(&format!("{number}. ")), "{}", chapter.title);
                let steps = chapter.steps.iter().filter(|s| !matches!(s.what, page::What::Remark(_))).count();
                assert_eq!(performed.contains(&number), steps > 0, "{}", chapter.title);
            }
        }
    };
}

chapters!(
    chapter_1_the_introduction = 1,
    chapter_3_triggers = 3,
    chapter_4_rules = 4,
    chapter_5_campaigns = 5,
    chapter_6_providers = 6,
    chapter_7_the_guides_four_tests = 7,
    chapter_8_monitoring_and_troubleshooting = 8,
    chapter_9_moving_from_the_old_module = 9
);
