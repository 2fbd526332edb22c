//! The shell that stands over a server, and takes it along when we are gone.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{ClusterError, owner::Owner};

/// An immediate stop takes milliseconds; the postmaster itself kills children that do not react after 5 s.
const GONE_LIMIT: Duration = Duration::from_secs(20);

/// Longest path of a unix socket: 107 bytes on Linux, 103 elsewhere.
const SOCKET_PATH_LIMIT: usize = 103;

/// The shell over the server. `$1` is the folder to make, use and remove, `$2` the folder of the programs.
///
/// It stands in a process group of its own, so that Ctrl-C and a killed group of tests do not take it along. SIGTERM ends
/// the `read`, and so leads to the same tidy end as the closed pipe.
const SUPERVISE: &str = r#"
trap : HUP INT TERM
umask 077
root=$1 bin=$2 watch=
mkdir "$root" && chmod 711 "$root" || { echo "err cannot create $root"; exit 1; }
stop() {
    [ -n "$watch" ] || return 0
    [ -s "$root/pid" ] && kill "-$1" "$(cat "$root/pid")" 2>/dev/null
    while kill -0 "$watch" 2>/dev/null; do wait "$watch" 2>/dev/null; done
    watch=
}
echo ok
while read -r verb arg; do
    case $verb in
        start)
            stop INT
            rm -f "$root/pid" "$root/exit"
            (
                "$bin/postgres" -D "$root/data" </dev/null >>"$root/log" 2>&1 &
                echo $! >"$root/pid"
                wait $!
                echo $? >"$root/exit"
            ) </dev/null >/dev/null 2>&1 &
            watch=$!
            while [ ! -s "$root/pid" ]; do sleep 0.01; done
            echo ok
            ;;
        stop) stop "$arg"; echo ok ;;
        *) echo "err unknown command" ;;
    esac
done
exec >/dev/null
stop QUIT
tries=0
while [ -e "$root" ] && [ $tries -lt 50 ]; do
    rm -rf "$root" 2>/dev/null
    [ -e "$root" ] && sleep 0.1
    tries=$((tries + 1))
done
"#;

#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) owner: Owner,
    channel: Mutex<Channel>,
}

#[derive(Debug)]
struct Channel {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Channel {
    fn answer(&mut self) -> Result<String, ClusterError> {
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        match read {
            Ok(0) => Err(ClusterError::Supervisor("has ended".to_owned())),
            Err(error) => Err(ClusterError::Supervisor(error.to_string())),
            Ok(_) => match line.trim().split_once(' ') {
                Some(("err", why)) => Err(ClusterError::Supervisor(why.to_owned())),
                _ => Ok(line),
            },
        }
    }
}

impl Supervisor {
    /// The supervisor, the folder for temporary files it could use, and the cluster's folder in it.
    pub(super) fn spawn(bin: &Path, owner: Owner) -> Result<(Self, PathBuf, PathBuf), ClusterError> {
        let mut refused = Vec::new();
        for base in [
            std::env::temp_dir(),
            PathBuf::from("/tmp"),
            PathBuf::from("/var/tmp"),
        ] {
            let root = base.join(format!("snpg-{:08x}", rand::random::<u32>()));
            if root.join(".s.PGSQL.65535.lock").as_os_str().len() > SOCKET_PATH_LIMIT {
                refused.push(format!("{}: path too long for a socket", base.display()));
                continue;
            }
            let mut child = owner
                .command("/bin/sh")
                .args(["-c", SUPERVISE, "sicantik-testkit"])
                .args([&root, bin])
                .process_group(0)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()
                .map_err(ClusterError::io("start", Path::new("/bin/sh")))?;
            let (Some(orders), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
                return Err(ClusterError::Supervisor("has no pipes".to_owned()));
            };
            let mut channel = Channel {
                child,
                orders: Some(orders),
                answers: BufReader::new(answers),
            };
            match channel.answer() {
                Ok(_) => {
                    return Ok((
                        Self {
                            owner,
                            channel: Mutex::new(channel),
                        },
                        base,
                        root,
                    ));
                }
                Err(error) => {
                    refused.push(format!("{}: {error}", base.display()));
                    let _ = channel.child.wait();
                }
            }
        }
        Err(ClusterError::NoFolder(refused.join("; ")))
    }

    pub(super) fn command(&self, order: &str) -> Result<String, ClusterError> {
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(orders) = channel.orders.as_mut() else {
            return Err(ClusterError::Supervisor("is being stopped".to_owned()));
        };
        writeln!(orders, "{order}").map_err(|e| ClusterError::Supervisor(e.to_string()))?;
        channel.answer()
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        let channel = self.channel.get_mut().unwrap_or_else(PoisonError::into_inner);
        drop(channel.orders.take());
        let until = Instant::now() + GONE_LIMIT;
        while Instant::now() < until {
            match channel.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(2)),
                _ => return,
            }
        }
    }
}
