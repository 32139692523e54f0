//! The child processes of a rig and their end.

use crate::failure::said;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lets the kernel kill the process when its parent is gone, and becomes the program: its process
/// number is the program's. Its limits are those of the user's shell.
const LAUNCH: &str = r#"exec setpriv --pdeathsig KILL "$@""#;
/// How long processes have after SIGTERM.
const PATIENCE: Duration = Duration::from_millis(1000);
/// Lines of a log that are shown.
const TAIL: usize = 25;
/// Clock ticks a second in `/proc/PID/stat` (proc(5): the same on every machine that Linux calls
/// its user-space tick).
const TICKS: u32 = 100;

/// A signal that a rig sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sig {
    /// SIGKILL.
    Kill,
    /// SIGSTOP.
    Stop,
    /// SIGCONT.
    Continue,
    /// SIGTERM.
    Terminate,
    /// SIGUSR1, which means nothing to anybody.
    User,
}

/// All processes of a rig by name, and the directory that they write to. Clones share it.
#[derive(Clone)]
pub struct Household(Arc<Mutex<Inner>>);

struct Inner {
    children: BTreeMap<String, Child>,
    dir: PathBuf,
}

impl Household {
    /// Nobody yet; `dir` is removed at the end, unless `HOLDLINE_KEEP` is set.
    pub fn new(dir: &Path) -> Household {
        Household(Arc::new(Mutex::new(Inner {
            children: BTreeMap::new(),
            dir: dir.to_owned(),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts `program`; what it says on standard error goes to its log.
    pub fn spawn(&self, name: &str, program: &Path, args: &[&str]) -> io::Result<()> {
        self.start(name, program, args, Stdio::null()).map(|_| ())
    }

    /// The same, with its standard output for the caller.
    pub fn spawn_piped(
        &self,
        name: &str,
        program: &Path,
        args: &[&str],
    ) -> io::Result<ChildStdout> {
        let output = self.start(name, program, args, Stdio::piped())?;
        output.ok_or_else(|| io::Error::other("no standard output"))
    }

    fn start(
        &self,
        name: &str,
        program: &Path,
        args: &[&str],
        output: Stdio,
    ) -> io::Result<Option<ChildStdout>> {
        let mut inner = self.lock();
        let log = File::options()
            .create(true)
            .append(true)
            .open(inner.log(name))?;
        let mut child = Command::new("/bin/sh")
            .args(["-c", LAUNCH, "sh"])
            .arg(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(log)
            // Ctrl-C is for the parent, who ends its children in order.
            .process_group(0)
            .spawn()
            .map_err(said(name))?;
        let stdout = child.stdout.take();
        inner.children.insert(name.to_owned(), child);
        Ok(stdout)
    }

    /// The process number.
    pub fn pid(&self, name: &str) -> Option<u32> {
        self.lock().children.get(name).map(Child::id)
    }

    /// Sends a signal.
    pub fn signal(&self, name: &str, signal: Sig) -> io::Result<()> {
        match self.lock().children.get(name) {
            Some(child) => send(child, signal),
            None => Err(io::Error::other(format!("{name} is not running"))),
        }
    }

    /// Waits for the end of a process and forgets it; its exit code, if it had one.
    pub fn reap(&self, name: &str) -> io::Result<Option<i32>> {
        let child = self.lock().children.remove(name);
        match child {
            Some(mut child) => Ok(child.wait()?.code()),
            None => Err(io::Error::other(format!("{name} is not running"))),
        }
    }

    /// Whether it runs.
    pub fn is_running(&self, name: &str) -> bool {
        let mut inner = self.lock();
        let child = inner.children.get_mut(name);
        child.is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// CPU time of a process so far, in steps of 10 ms; none once it is reaped.
    pub fn cpu(&self, name: &str) -> Duration {
        self.pid(name).and_then(cpu).unwrap_or_default()
    }

    /// The last lines of every log.
    pub fn log_tails(&self) -> String {
        let inner = self.lock();
        let mut text = String::new();
        let Ok(entries) = std::fs::read_dir(&inner.dir) else {
            return text;
        };
        let mut logs: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        logs.retain(|path| path.extension().is_some_and(|end| end == "log"));
        logs.sort();
        for path in logs {
            let log = std::fs::read(&path).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            let lines: Vec<&str> = log.lines().collect();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            text.push_str(&format!("--- the end of {name}\n"));
            for line in &lines[lines.len().saturating_sub(TAIL)..] {
                text.push_str(line);
                text.push('\n');
            }
        }
        text
    }

    /// Ends every process, SIGTERM first, and removes the directory.
    pub fn end_all(&self) {
        self.lock().end_all();
    }

    /// The same for a signal handler: nobody gets to see the household in pieces.
    pub fn end_all_and_exit(&self, code: i32) -> ! {
        let mut inner = self.lock();
        inner.end_all();
        std::process::exit(code)
    }
}

impl Inner {
    fn log(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.log"))
    }

    fn end_all(&mut self) {
        for child in self.children.values() {
            // One that is stopped hears nothing but SIGCONT and SIGKILL.
            let _ = send(child, Sig::Continue).and_then(|()| send(child, Sig::Terminate));
        }
        let until = Instant::now() + PATIENCE;
        let running = |child: &mut Child| matches!(child.try_wait(), Ok(None));
        while self.children.values_mut().any(running) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(30));
            for child in self.children.values() {
                // The second one says that nobody wants to wait for a drain.
                let _ = send(child, Sig::Terminate);
            }
        }
        for child in self.children.values_mut() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.children.clear();
        if std::env::var_os("HOLDLINE_KEEP").is_none() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

fn send(child: &Child, signal: Sig) -> io::Result<()> {
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let signal = match signal {
        Sig::Kill => Signal::SIGKILL,
        Sig::Stop => Signal::SIGSTOP,
        Sig::Continue => Signal::SIGCONT,
        Sig::Terminate => Signal::SIGTERM,
        Sig::User => Signal::SIGUSR1,
    };
    Ok(kill(Pid::from_raw(pid), signal)?)
}

/// User and system time of a process: fields 14 and 15 of `/proc/PID/stat`.
fn cpu(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold spaces: count from its end.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u32>().ok();
    Some(Duration::from_secs(1) * (ticks()? + ticks()?) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("holdline-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    #[test]
    fn processes_end_and_the_directory_goes() {
        let dir = dir("household");
        let all = Household::new(&dir);
        all.spawn(
            "deaf",
            Path::new("/bin/sh"),
            &["-c", "trap '' TERM; sleep 60"],
        )
        .unwrap();
        all.spawn("stopped", Path::new("/bin/sleep"), &["60"])
            .unwrap();
        all.signal("stopped", Sig::Stop).unwrap();
        let pids = [all.pid("deaf").unwrap(), all.pid("stopped").unwrap()];
        assert!(all.is_running("deaf") && all.is_running("stopped"));
        all.end_all();
        for pid in pids {
            assert!(!Path::new(&format!("/proc/{pid}")).exists());
        }
        assert!(!dir.exists());
    }

    #[test]
    fn a_killed_process_is_gone_and_its_log_is_told() {
        let dir = dir("tails");
        let all = Household::new(&dir);
        let mut said = String::new();
        let mut output = all
            .spawn_piped(
                "talker",
                Path::new("/bin/sh"),
                &["-c", "echo said; echo logged >&2"],
            )
            .unwrap();
        io::Read::read_to_string(&mut output, &mut said).unwrap();
        assert_eq!(
            (said.as_str(), all.reap("talker").unwrap()),
            ("said\n", Some(0))
        );
        assert!(all.log_tails().contains("talker.log\nlogged\n"));
        all.spawn("sleeper", Path::new("/bin/sleep"), &["60"])
            .unwrap();
        all.signal("sleeper", Sig::Kill).unwrap();
        assert_eq!(all.reap("sleeper").unwrap(), None);
        assert!(!all.is_running("sleeper"));
        all.end_all();
    }
}
