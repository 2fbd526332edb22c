//! The gate before every claim: is the server still the one that this process has reconciled its memory with? When a standby has taken
//! over, the calls under way are waited for, then what was sent in the last seconds is told, and only then claims go on.

use std::time::{Duration, Instant};

use crate::queue::holding::Holding;
use crate::queue::memory::Memory;
use crate::queue::timeline::{Opened, Settled, Told, look, settle_lost, tell, try_to_open};

/// The gate of one stage.
#[derive(Debug)]
pub struct Gate {
    memory: Memory,
    holding: Holding,
    instance: i64,
    window: Duration,
    /// The timeline on which this process has told everything.
    reconciled: Option<i64>,
    open: bool,
}

impl Gate {
    /// Shut, until the server has been looked at. `window`: the longest that a standby may be behind.
    pub fn new(memory: Memory, holding: Holding, instance: i64, window: Duration) -> Self {
        memory.answers_for(instance);
        Self {
            memory,
            holding,
            instance,
            window,
            reconciled: None,
            open: false,
        }
    }

    /// As of the last look: may messages be claimed and begun?
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// Whether what was claimed on this timeline may be sent.
    pub fn admits(&self, timeline: i64) -> bool {
        self.open && self.reconciled == Some(timeline)
    }

    /// Shuts it until the next look.
    pub fn shut(&mut self) {
        self.open = false;
    }

    /// Looks at the server, and does what a new timeline asks for. Returns whether the gate is open.
    ///
    /// # Errors
    /// The server's; the gate is shut then.
    pub async fn pass(
        &mut self,
        client: &mut deadpool_postgres::Client,
        now: Instant,
    ) -> Result<bool, tokio_postgres::Error> {
        self.open = false;
        let seen = look(client).await?;
        if seen.new {
            tracing::warn!(
                TIMELINE = seen.timeline,
                "The database moved to another server (timeline {}): nothing is sent until the daemons have told what they \
                 sent last.",
                seen.timeline
            );
        }
        let line = seen.timeline;
        if let Some(before) = self.reconciled.filter(|before| *before > line) {
            tracing::error!(
                TIMELINE = line,
                "This server is at timeline {line}, and the one before was at {before}: an old primary answers. Nothing is \
                 sent; see to it that it is stopped."
            );
            return Ok(false);
        }
        if self.reconciled != Some(line) {
            // Their answers belong to what is told.
            if self.memory.is_busy(&self.holding) {
                return Ok(false);
            }
            let told = tell(client, line, self.instance, &self.memory, self.window).await?;
            report(line, &told);
            self.reconciled = Some(line);
            self.open = seen.open || told.opened.is_some();
            return Ok(self.open);
        }
        self.memory.forget(self.window, &self.holding, now);
        self.open = seen.open;
        if !seen.open {
            let opened = try_to_open(client, line, self.window).await?;
            report_opening(line, opened);
            self.open = opened.is_some();
        } else if seen.unsettled {
            report_settled(&settle_lost(client, line).await?);
        }
        Ok(self.open)
    }
}

fn report(timeline: i64, told: &Told) {
    if told.lost > 0 || told.forgotten > 0 {
        tracing::error!(
            TIMELINE = timeline,
            LOST_SENDS = told.lost,
            FORGOTTEN_SENDS = told.forgotten,
            "This server did not know of {} messages that this daemon had sent; it was told of them ({} more were forgotten).",
            told.lost,
            told.forgotten
        );
    }
    report_settled(&told.settled);
    report_opening(timeline, told.opened);
}

fn report_settled(settled: &[Settled]) {
    for one in settled {
        let word = if one.sent { "sent" } else { "uncertain" };
        tracing::warn!(
            QUEUE_ID = one.id.0,
            "Message {} was sent before the database moved to this server: it is {word}.",
            one.id
        );
    }
}

fn report_opening(timeline: i64, opened: Option<Opened>) {
    let Some(opened) = opened else { return };
    if opened.lost == 0 && opened.unheard == 0 {
        tracing::info!(
            TIMELINE = timeline,
            "Nothing that was sent is missing on this server; sending goes on."
        );
        return;
    }
    tracing::error!(
        TIMELINE = timeline,
        LOST_SENDS = opened.lost,
        DOUBTED_MESSAGES = opened.doubted,
        UNHEARD_INSTANCES = opened.unheard,
        "Sending goes on at timeline {timeline}: {} sends were missing on this server; {} daemons could not be asked, and {} due \
         messages are uncertain because of that. See v_failover.",
        opened.lost,
        opened.unheard,
        opened.doubted
    );
}
