//! A connection on which no prepared statement has a name. Behind a pooler in transaction mode the next message may reach another
//! server session than the one that prepared; what is prepared without a name and executed at once needs no session.
//!
//! Promises: what the driver prepares under a name is remembered here, and comes before each of its executions again, without a
//! name; the answer to what was put in is taken out; everything else passes as it is. A transaction begins with the session's
//! settings, which no session keeps here. COPY is not spoken.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::bytes::{Buf, BufMut, BytesMut};
use tokio_util::io::poll_read_buf;

/// More than this is not taken from the driver before the pooler has read.
const HIGH_WATER: usize = 256 << 10;
/// Type and length of a message.
const HEADER: usize = 5;
/// What the driver begins every transaction with.
const BEGIN: &[u8] = b"START TRANSACTION";

/// What the server still has to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owed {
    /// ParseComplete, which the driver waits for.
    Parsed,
    /// ParseComplete for what was put in: the driver knows nothing of it.
    PutIn,
    /// ReadyForQuery.
    Ready,
}

/// The two directions, without the stream.
#[derive(Debug)]
struct Translator {
    /// Names and what stands behind them: the statement's text and its types, as Parse carries them.
    statements: HashMap<Vec<u8>, Vec<u8>>,
    /// Which of them the unnamed statement is, until the next Sync.
    current: Option<Vec<u8>>,
    owed: VecDeque<Owed>,
    /// Follows each BEGIN.
    pinned: Vec<u8>,
    /// The first message has no type.
    started: bool,
    /// Bytes of an answer that pass.
    passing: usize,
}

impl Translator {
    fn new(pinned: &str) -> Self {
        Self {
            statements: HashMap::new(),
            current: None,
            // The end of the start.
            owed: VecDeque::from([Owed::Ready]),
            pinned: pinned.as_bytes().to_vec(),
            started: false,
            passing: 0,
        }
    }

    /// Moves the whole messages of `from` to `to`.
    fn outward(&mut self, from: &mut BytesMut, to: &mut BytesMut) -> io::Result<()> {
        loop {
            let header = if self.started { HEADER } else { HEADER - 1 };
            if from.len() < header {
                return Ok(());
            }
            let length = (&from[header - 4..header]).get_u32() as usize;
            let whole = header - 4 + length;
            if length < 4 {
                return Err(wrong("a message of the driver has no length"));
            }
            if from.len() < whole {
                return Ok(());
            }
            let message = from.split_to(whole);
            if !self.started {
                self.started = true;
                to.extend_from_slice(&message);
                continue;
            }
            self.message(message[0], &message[HEADER..], to)?;
        }
    }

    fn message(&mut self, kind: u8, body: &[u8], to: &mut BytesMut) -> io::Result<()> {
        match kind {
            b'P' => {
                let (name, rest) = text(body)?;
                if !name.is_empty() {
                    self.statements.insert(name.to_vec(), rest.to_vec());
                }
                self.current = Some(name.to_vec());
                self.owed.push_back(Owed::Parsed);
                put(to, b'P', &[b"\0", rest]);
            }
            b'B' => {
                let (portal, rest) = text(body)?;
                let (name, rest) = text(rest)?;
                self.make_current(name, to);
                put(to, b'B', &[portal, b"\0\0", rest]);
            }
            b'D' if body.first() == Some(&b'S') => {
                let (name, _) = text(&body[1..])?;
                self.make_current(name, to);
                put(to, b'D', &[b"S\0"]);
            }
            b'C' if body.first() == Some(&b'S') => {
                let (name, _) = text(&body[1..])?;
                self.statements.remove(name);
                if self.current.as_deref() == Some(name) {
                    self.current = None;
                }
                put(to, b'C', &[b"S\0"]);
            }
            b'Q' => {
                self.current = None;
                self.owed.push_back(Owed::Ready);
                match body.strip_suffix(b"\0").filter(|sql| sql.starts_with(BEGIN)) {
                    Some(sql) => put(to, b'Q', &[sql, b"; ", &self.pinned, b"\0"]),
                    None => put(to, b'Q', &[body]),
                }
            }
            other => {
                if other == b'S' {
                    self.current = None;
                    self.owed.push_back(Owed::Ready);
                }
                put(to, other, &[body]);
            }
        }
        Ok(())
    }

    /// Sees to it that the unnamed statement is this one. One that is not known is the server's to refuse.
    fn make_current(&mut self, name: &[u8], to: &mut BytesMut) {
        if name.is_empty() || self.current.as_deref() == Some(name) {
            return;
        }
        if let Some(statement) = self.statements.get(name) {
            put(to, b'P', &[b"\0", statement]);
            self.owed.push_back(Owed::PutIn);
            self.current = Some(name.to_vec());
        }
    }

    /// Moves what has come of the server's answers to `to`.
    fn inward(&mut self, from: &mut BytesMut, to: &mut BytesMut) -> io::Result<()> {
        loop {
            if self.passing > 0 {
                let now = self.passing.min(from.len());
                to.extend_from_slice(&from.split_to(now));
                self.passing -= now;
            }
            if from.len() < HEADER {
                return Ok(());
            }
            let length = (&from[1..HEADER]).get_u32() as usize;
            if length < 4 {
                return Err(wrong("a message of the server has no length"));
            }
            match from[0] {
                b'1' if self.owed.front() == Some(&Owed::PutIn) => {
                    self.owed.pop_front();
                    // ParseComplete is its header alone.
                    from.advance(HEADER);
                    continue;
                }
                b'1' => {
                    self.owed.pop_front();
                }
                // After an error the server answers nothing before the next Sync.
                b'Z' => while self.owed.pop_front().is_some_and(|owed| owed != Owed::Ready) {},
                _ => {}
            }
            self.passing = 1 + length;
        }
    }
}

fn wrong(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// A text that ends with a zero, and what follows.
fn text(body: &[u8]) -> io::Result<(&[u8], &[u8])> {
    let end = body.iter().position(|b| *b == 0);
    let end = end.ok_or_else(|| wrong("a message of the driver ends too early"))?;
    Ok((&body[..end], &body[end + 1..]))
}

fn put(to: &mut BytesMut, kind: u8, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    to.put_u8(kind);
    // Never longer than the message it was made of by more than a statement of ours.
    to.put_u32(u32::try_from(length + 4).unwrap_or(u32::MAX));
    for part in parts {
        to.extend_from_slice(part);
    }
}

/// A stream to a pooler, as the driver sees it.
#[derive(Debug)]
pub(super) struct Unnamed<S> {
    stream: S,
    translator: Translator,
    from_driver: BytesMut,
    to_server: BytesMut,
    from_server: BytesMut,
    to_driver: BytesMut,
}

impl<S> Unnamed<S> {
    /// `pinned` follows the begin of each transaction: statements with semicolons between.
    pub(super) fn new(stream: S, pinned: &str) -> Self {
        Self {
            stream,
            translator: Translator::new(pinned),
            from_driver: BytesMut::new(),
            to_server: BytesMut::new(),
            from_server: BytesMut::new(),
            to_driver: BytesMut::new(),
        }
    }
}

impl<S: AsyncWrite + Unpin> Unnamed<S> {
    fn write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.to_server.has_remaining() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.to_server))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.to_server.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unnamed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.to_server.len() > HIGH_WATER {
            ready!(this.write_out(cx))?;
        }
        this.from_driver.extend_from_slice(bytes);
        this.translator
            .outward(&mut this.from_driver, &mut this.to_server)?;
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.write_out(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.write_out(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unnamed<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.to_driver.has_remaining() {
                let now = this.to_driver.len().min(into.remaining());
                into.put_slice(&this.to_driver.split_to(now));
                return Poll::Ready(Ok(()));
            }
            this.from_server.reserve(8192);
            if ready!(poll_read_buf(
                Pin::new(&mut this.stream),
                cx,
                &mut this.from_server
            ))? == 0
            {
                return Poll::Ready(Ok(()));
            }
            this.translator
                .inward(&mut this.from_server, &mut this.to_driver)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message, as bytes.
    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        put(&mut bytes, kind, &[body]);
        bytes.to_vec()
    }

    fn started() -> Translator {
        let mut translator = Translator::new("set local x = 1");
        let (mut from, mut to) = (BytesMut::from(&b"\0\0\0\x08\0\x03\0\0"[..]), BytesMut::new());
        translator.outward(&mut from, &mut to).expect("a start");
        assert_eq!(&to[..], b"\0\0\0\x08\0\x03\0\0", "the start passes");
        answer(&mut translator, &message(b'Z', b"I"));
        translator
    }

    fn send(translator: &mut Translator, messages: &[Vec<u8>]) -> Vec<u8> {
        let (mut from, mut to) = (BytesMut::new(), BytesMut::new());
        // Byte by byte: the driver's writes end anywhere.
        for byte in messages.concat() {
            from.put_u8(byte);
            translator.outward(&mut from, &mut to).expect("translated");
        }
        assert!(from.is_empty());
        to.to_vec()
    }

    fn answer(translator: &mut Translator, bytes: &[u8]) -> Vec<u8> {
        let (mut from, mut to) = (BytesMut::new(), BytesMut::new());
        for byte in bytes {
            from.put_u8(*byte);
            translator.inward(&mut from, &mut to).expect("translated");
        }
        to.to_vec()
    }

    const PARSE: &[u8] = b"s1\0select $1\0\0\x01\0\0\0\x17";
    const UNNAMED: &[u8] = b"\0select $1\0\0\x01\0\0\0\x17";

    #[test]
    fn a_named_statement_loses_its_name_and_comes_again_before_each_execution() {
        let mut t = started();
        let prepared = [message(b'P', PARSE), message(b'D', b"Ss1\0"), message(b'S', b"")];
        let plain = [message(b'P', UNNAMED), message(b'D', b"S\0"), message(b'S', b"")];
        assert_eq!(send(&mut t, &prepared), plain.concat());
        let answers = [message(b'1', b""), message(b't', b"\0\0"), message(b'Z', b"I")].concat();
        assert_eq!(
            answer(&mut t, &answers),
            answers,
            "the driver asked for each of them"
        );

        let bind = [
            message(b'B', b"\0s1\0rest"),
            message(b'E', b"\0\0\0\0\0"),
            message(b'S', b""),
        ];
        let sent = [
            message(b'P', UNNAMED),
            message(b'B', b"\0\0rest"),
            message(b'E', b"\0\0\0\0\0"),
            message(b'S', b""),
        ];
        // Twice at once, as a pipeline.
        assert_eq!(
            send(&mut t, &[bind.concat(), bind.concat()]),
            sent.concat().repeat(2)
        );
        let once = [
            message(b'2', b""),
            message(b'C', b"SELECT 1\0"),
            message(b'Z', b"I"),
        ]
        .concat();
        let answers = [message(b'1', b""), once.clone()].concat();
        assert_eq!(answer(&mut t, &answers.repeat(2)), once.repeat(2));
        assert!(t.owed.is_empty());
    }

    #[test]
    fn an_error_ends_what_is_owed_up_to_the_next_sync_and_no_further() {
        let mut t = started();
        send(&mut t, &[message(b'P', PARSE), message(b'S', b"")]);
        answer(&mut t, &[message(b'1', b""), message(b'Z', b"I")].concat());
        let bind = [message(b'B', b"\0s1\0"), message(b'S', b"")].concat();
        send(&mut t, &[bind.clone(), bind]);
        // The put-in statement itself fails (a table is gone), the next one does not.
        let failed = [message(b'E', b"SERROR\0\0"), message(b'Z', b"I")].concat();
        assert_eq!(answer(&mut t, &failed), failed);
        let well = [message(b'2', b""), message(b'Z', b"I")].concat();
        assert_eq!(answer(&mut t, &[message(b'1', b""), well.clone()].concat()), well);
        assert!(t.owed.is_empty());
    }

    #[test]
    fn a_transaction_begins_with_the_settings_and_nothing_else_does() {
        let mut t = started();
        assert_eq!(
            send(&mut t, &[message(b'Q', b"START TRANSACTION READ ONLY\0")]),
            message(b'Q', b"START TRANSACTION READ ONLY; set local x = 1\0")
        );
        let other = message(b'Q', b"ROLLBACK\0");
        assert_eq!(send(&mut t, std::slice::from_ref(&other)), other);
        // A row as long as one likes passes in pieces.
        let row = message(b'D', &vec![b'1'; 100_000]);
        assert_eq!(answer(&mut t, &row), row);
    }

    #[test]
    fn what_has_been_closed_is_forgotten() {
        let mut t = started();
        send(&mut t, &[message(b'P', PARSE), message(b'S', b"")]);
        let close = [message(b'C', b"Ss1\0"), message(b'S', b"")];
        assert_eq!(
            send(&mut t, &close),
            [message(b'C', b"S\0"), message(b'S', b"")].concat()
        );
        assert!(t.statements.is_empty());
    }

    #[test]
    fn nonsense_is_an_error_and_no_panic() {
        let mut t = started();
        for body in [&b"no end"[..], b""] {
            let mut from = BytesMut::from(&message(b'P', body)[..]);
            assert!(t.outward(&mut from, &mut BytesMut::new()).is_err());
        }
        let mut from = BytesMut::from(&b"Z\0\0\0\0"[..]);
        assert!(t.inward(&mut from, &mut BytesMut::new()).is_err());
    }
}
