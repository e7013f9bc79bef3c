//! `mkimg check`: realizes again from the sources under changed conditions, and compares.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, ValueEnum};
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};

use super::check_round::{cpus, file_system, options, seen};
use super::context::{Context, Opened};
use super::failure::{Code, Failure};
use super::locking::LockUse;
use super::output;
use crate::arch::Arch;
use crate::check::{CheckError, Done, Ground, Round, Row, World, rows};
use crate::diff::{self, Side};
use crate::digest::{self, Digest};
use crate::lock;
use crate::realize::Realized;
use crate::recipe::{Mode, Place};

/// `mkimg check`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Check {
    /// The recipes, or bundles: files, or the NAME of `images/NAME.kdl` [default: the only one in `images/`]
    #[arg(value_name = "RECIPE")]
    recipes: Vec<PathBuf>,
    /// Every recipe in this directory
    #[arg(long, value_name = "DIR", conflicts_with = "recipes")]
    all: Option<PathBuf>,
    /// With --all, a recipe to leave out, by NAME; may be given several times
    #[arg(long, value_name = "NAME", requires = "all")]
    except: Vec<String>,
    /// The architecture, x86_64 or aarch64 [default: every one that the recipe has]
    #[arg(long, value_name = "ARCH")]
    arch: Option<Arch>,
    /// How often each image is realized again
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u8).range(1..=16))]
    rounds: u8,
    /// Fetch the sources again too, in every round
    #[arg(long)]
    refetch: bool,
    /// Fail where a recipe has no lock
    #[arg(long)]
    locked: bool,
    /// Print JSON
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// How it is told: text, or github (annotations of a workflow)
    #[arg(long, value_name = "NAME", default_value = "text")]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table.
    Text,
    /// Annotations.
    Github,
}

const EXAMPLES: &str = "\
Examples:
  mkimg check images/minimal.kdl         twice, for every architecture that it has
  mkimg check --all images --locked      as CI does; without a lock a recipe fails

Exit codes: 0 equal, 4 different (or a lock is missing or stale), 1 could not check.";

/// What came of one image.
struct Checked {
    recipe: String,
    arch: Option<Arch>,
    /// `equal`, `different` or `unchecked`.
    verdict: &'static str,
    rows: Vec<Row>,
    /// The initramfs and kernel: stored, and of each round.
    identities: Vec<[Digest; 2]>,
    /// What there is to explain.
    lines: Vec<String>,
    /// The line of the recipe to point at.
    line: usize,
}

pub(super) fn run(context: &Context<'_>, args: &Check) -> Result<(), Failure> {
    let recipes = recipes(args)?;
    let checked: Vec<Vec<Checked>> = thread::scope(|scope| {
        let started: Vec<_> = recipes
            .iter()
            .map(|recipe| scope.spawn(|| check(context, args, recipe.as_deref())))
            .collect();
        let mut all = Vec::new();
        for thread in started {
            all.push(
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        all
    });
    let checked: Vec<Checked> = checked.into_iter().flatten().collect();
    context.terminal.clear();
    if args.json {
        output::print_json(&json!({
            "images": checked.iter().map(Checked::json).collect::<Vec<Value>>(),
            "verdict": worst(&checked),
        }))?;
    } else {
        let text = |one: &Checked| match args.format {
            Format::Text => one.text(),
            Format::Github => one.annotation(),
        };
        output::print(&checked.iter().map(text).collect::<String>())?;
    }
    let count = |verdict: &str| checked.iter().filter(|one| one.verdict == verdict).count();
    let left_out = match args.except.as_slice() {
        [] => String::new(),
        names => format!("; left out: {}", names.join(", ")),
    };
    context.terminal.line(&format!(
        "{} equal, {} different, {} could not be checked{left_out}",
        count("equal"),
        count("different"),
        count("unchecked"),
    ));
    match worst(&checked) {
        "equal" => Ok(()),
        "different" => Err(Failure::Said(Code::Different)),
        _ => Err(Failure::Said(Code::Failed)),
    }
}

fn worst(checked: &[Checked]) -> &'static str {
    let has = |verdict: &str| checked.iter().any(|one| one.verdict == verdict);
    match (has("different"), has("unchecked")) {
        (true, _) => "different",
        (_, true) => "unchecked",
        _ => "equal",
    }
}

/// Returns the recipes that were named.
fn recipes(args: &Check) -> Result<Vec<Option<PathBuf>>, Failure> {
    let Some(directory) = &args.all else {
        return Ok(match args.recipes.as_slice() {
            [] => vec![None],
            named => named.iter().cloned().map(Some).collect(),
        });
    };
    let mut found = Vec::new();
    let mut except = args.except.clone();
    let entries = fs::read_dir(directory).map_err(|error| Failure::io("read", directory, error))?;
    for entry in entries {
        let path = entry
            .map_err(|error| Failure::io("read", directory, error))?
            .path();
        if path.extension().is_none_or(|extension| extension != "kdl") {
            continue;
        }
        let name = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match except.iter().position(|other| *other == name) {
            Some(at) => drop(except.remove(at)),
            None => found.push(path),
        }
    }
    if let Some(name) = except.first() {
        return Err(Failure::usage(
            format!(
                "`--except {name}`: there is no `{name}.kdl` in `{}`",
                directory.display()
            ),
            "take it off, or name a recipe without its directory and `.kdl`",
        ));
    }
    if found.is_empty() {
        return Err(Failure::usage(
            format!("there is no recipe to check in `{}`", directory.display()),
            "name the directory that has the .kdl files",
        ));
    }
    found.sort();
    Ok(found.into_iter().map(Some).collect())
}

fn check(context: &Context<'_>, args: &Check, recipe: Option<&Path>) -> Vec<Checked> {
    let shown = recipe.map_or_else(
        || "the recipe".to_owned(),
        |path| path.display().to_string(),
    );
    let opened = match context.open(recipe, Mode::Strict) {
        Ok(opened) => opened,
        Err(failure) => return vec![unchecked(context, shown, None, failure)],
    };
    let shown = opened.path.display().to_string();
    let archs = match args.arch {
        Some(arch) => vec![arch],
        None => opened.parsed.recipe.archs_for(Arch::host()),
    };
    let one = |arch| {
        image(context, args, &opened, arch)
            .unwrap_or_else(|failure| unchecked(context, shown.clone(), Some(arch), failure))
    };
    archs.into_iter().map(one).collect()
}

/// Returns what is said of an image that was not compared; its failure is told at once.
fn unchecked(
    context: &Context<'_>,
    recipe: String,
    arch: Option<Arch>,
    failure: Failure,
) -> Checked {
    let verdict = match failure.code() {
        Some(Code::Different) => "different",
        _ => "unchecked",
    };
    let lines = vec![failure.first_line()];
    failure.print(context.terminal);
    Checked {
        recipe,
        arch,
        verdict,
        rows: Vec::new(),
        identities: Vec::new(),
        lines,
        line: 1,
    }
}

fn image(
    context: &Context<'_>,
    args: &Check,
    opened: &Opened,
    arch: Arch,
) -> Result<Checked, Failure> {
    let lock = if args.locked {
        LockUse::Needed
    } else {
        LockUse::Default
    };
    let made = context.realize_locked(opened, Some(arch), true, lock, None)?;
    let (store, stored) = (made.store, made.realized);
    let plan = context.plan(opened, Some(arch))?;
    let fetch = context.fetch_options()?;
    let blobs = context
        .workshop(&store, &fetch)
        .sources(&plan, &opened.base)
        .map_err(|error| Failure::realize(error, &opened.parsed.source))?;
    let is_local = |name: &String| {
        let places = &plan.sources[name].places;
        places.iter().any(|place| matches!(place, Place::Local(_)))
    };
    let given: Vec<_> = blobs
        .iter()
        .filter(|(name, _)| !args.refetch || is_local(name))
        .map(|(_, blob)| blob.clone())
        .collect();
    let files = lock::files_of(&plan);
    let size: u64 = blobs.values().map(|blob| blob.size).sum();
    let room = 2 * size + 3 * stored.image.archive_size + stored.image.kernel.size;
    let common = tempfile::Builder::new()
        .prefix("mkimg-check-")
        .tempdir()
        .map_err(|error| Failure::io("make a directory in", &std::env::temp_dir(), error))?;
    let ground = ground(context, args, store.root(), common.path(), room)?;
    let mut child = options(context);
    if !args.refetch {
        child.push("--offline".to_owned());
        child.dedup();
    }
    let name = opened
        .path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let name = if name.ends_with(".kdl") {
        name.into_owned()
    } else {
        "recipe.kdl".to_owned()
    };
    let round = Round {
        recipe: (&name, opened.parsed.source.text.as_bytes()),
        files: &files,
        arch,
        blobs: &given,
        options: &child,
    };
    let worlds: Vec<World> = (0..usize::from(args.rounds))
        .map(|number| World::of(&ground, number))
        .collect();
    let done: Vec<Result<(Done, i64), CheckError>> = thread::scope(|scope| {
        let started: Vec<_> = worlds
            .iter()
            .map(|world| scope.spawn(|| round.run(&ground, world).map(|done| (done, now()))))
            .collect();
        let mut all = Vec::new();
        for thread in started {
            all.push(
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            );
        }
        all
    });
    let done: Vec<(Done, i64)> = done.into_iter().collect::<Result<_, _>>()?;
    judge(opened, arch, &stored, &ground, &round, worlds, done)
}

#[allow(
    clippy::disallowed_methods,
    reason = "`cli` is where the clock is read"
)]
fn now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_secs() as i64)
}

/// Compares the images of the rounds, which are hashed here, with the one in the cache.
fn judge(
    opened: &Opened,
    arch: Arch,
    stored: &Realized,
    ground: &Ground,
    round: &Round<'_>,
    worlds: Vec<World>,
    done: Vec<(Done, i64)>,
) -> Result<Checked, Failure> {
    let mut identities = vec![[stored.image.initramfs.digest, stored.image.kernel.digest]];
    let mut lines = Vec::new();
    let mut table = Vec::new();
    for (world, (done, now)) in worlds.into_iter().zip(done) {
        let hash = |name: &str| {
            let path = done.image.join(name);
            let hashed = fs::File::open(&path).and_then(|mut file| digest::of_reader(&mut file));
            hashed.map_err(|error| Failure::io("read", &path, error))
        };
        let own = [
            hash(&stored.image.initramfs.name)?.0,
            hash(&stored.image.kernel.name)?.0,
        ];
        let described = fs::read(done.image.join(crate::realize::IMAGE_FILE)).unwrap_or_default();
        let equal = own == identities[0] && described == stored.image.text().as_bytes();
        if !equal && lines.is_empty() {
            lines.push(format!("round {} gave another image:", world.number + 1));
            let here = Side::open(&stored.path)?.named("stored");
            let there = Side::open(&done.image)?.named(format!("round {}", world.number + 1));
            lines.extend(diff::compare(&here, &there)?.lines(false));
        }
        identities.push(own);
        let meant = round.meant(done.place.path(), &world);
        table.push((world, meant, done.seen.clone(), now));
    }
    let verdict = if lines.is_empty() {
        "equal"
    } else {
        "different"
    };
    Ok(Checked {
        recipe: opened.path.display().to_string(),
        arch: Some(arch),
        verdict,
        rows: rows(ground, &table),
        identities,
        lines,
        line: 1,
    })
}

/// Finds out what can be varied here.
fn ground(
    context: &Context<'_>,
    args: &Check,
    cache: &Path,
    common: &Path,
    room: u64,
) -> Result<Ground, Failure> {
    let root = rustix::process::geteuid().is_root();
    let own = std::env::current_exe()
        .map_err(|error| Failure::io("find", Path::new("/proc/self/exe"), error))?;
    let mut program = own.clone();
    if root {
        // Another user may have no way to where this program is.
        program = common.join("mkimg");
        let io = |error| Failure::io("copy the program to", common, error);
        fs::copy(&own, &program).map_err(io)?;
        for path in [common, &program] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).map_err(io)?;
        }
    }
    let shm = Path::new("/dev/shm");
    let memory = match rustix::fs::statvfs(shm) {
        _ if file_system(shm) != "tmpfs" => Err("there is no /dev/shm in memory here".to_owned()),
        Ok(found) if found.f_bavail * found.f_frsize < room => Err(format!(
            "/dev/shm has no room for {}",
            crate::ui::bytes(room)
        )),
        _ => Ok(shm.to_path_buf()),
    };
    let hard = |resource| getrlimit(resource).maximum.unwrap_or(u64::MAX);
    Ok(Ground {
        seen: seen(context, cache, None),
        program,
        temporary: std::env::temp_dir(),
        memory,
        cpus: cpus(),
        jobs: context.jobs().get(),
        clock: clock(),
        namespace: namespace(root),
        root,
        limits: [hard(Resource::Nofile), hard(Resource::Stack)],
        refetch: args.refetch,
    })
}

/// Finds libfaketime, as Debian, Fedora and Arch have it.
fn clock() -> Result<PathBuf, String> {
    let places = [
        "/usr/lib/*/faketime",
        "/usr/lib64/faketime",
        "/usr/lib/faketime",
        "/usr/local/lib/faketime",
    ];
    let found = places
        .iter()
        .flat_map(|place| {
            glob::glob(&format!("{place}/libfaketimeMT.so.1"))
                .into_iter()
                .flatten()
        })
        .flatten()
        .next();
    found.ok_or_else(|| "libfaketime is not here (Debian: `apt install faketime`)".to_owned())
}

/// Finds out how a host name of one's own can be had: by root, or in a user's namespace.
fn namespace(root: bool) -> Result<Vec<String>, String> {
    let words: &[&str] = match root {
        true => &["unshare", "--uts", "--"],
        false => &["unshare", "--user", "--map-root-user", "--uts", "--"],
    };
    let tried = Command::new(words[0])
        .args(&words[1..])
        .arg("true")
        .stdin(Stdio::null())
        .output();
    match tried {
        Ok(output) if output.status.success() => {
            Ok(words.iter().map(|word| (*word).to_owned()).collect())
        }
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(said.lines().next().unwrap_or("`unshare` failed").to_owned())
        }
        Err(error) => Err(format!("`unshare` cannot be started: {error}")),
    }
}

impl Checked {
    fn name(&self) -> String {
        match self.arch {
            Some(arch) => format!("{} {arch}", self.recipe),
            None => self.recipe.clone(),
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{}: {}\n", self.name(), self.told());
        for row in &self.rows {
            let (mark, what) = match &row.why {
                None => ("applied", row.rounds.join(" | ")),
                Some(why) => ("NOT APPLIED", why.clone()),
            };
            text.push_str(&format!("  {:<20} {mark:<12} {what}\n", row.name));
        }
        let lines = self.lines.iter().map(|line| format!("  {line}\n"));
        text.extend(lines);
        text
    }

    fn told(&self) -> String {
        let applied = self.rows.iter().filter(|row| row.applied).count();
        let rounds = self.identities.len().saturating_sub(1);
        match (self.verdict, self.rows.len()) {
            (verdict, 0) => match verdict {
                "different" => "not what its lock says".to_owned(),
                _ => "could not be checked".to_owned(),
            },
            (verdict, all) => {
                format!("{verdict} in {rounds} rounds, {applied} of {all} variations applied")
            }
        }
    }

    /// Returns the annotation of a workflow; `%`, and line ends, are written as GitHub wants them.
    fn annotation(&self) -> String {
        let kind = if self.verdict == "equal" {
            "notice"
        } else {
            "error"
        };
        let escape = |text: &str| {
            text.replace('%', "%25")
                .replace('\r', "%0D")
                .replace('\n', "%0A")
        };
        let property = escape(&self.recipe).replace(':', "%3A").replace(',', "%2C");
        let mut message = format!("{}: {}", self.name(), self.told());
        for line in &self.lines {
            message.push_str(&format!("\n{line}"));
        }
        format!(
            "::{kind} file={property},line={}::{}\n",
            self.line,
            escape(&message)
        )
    }

    fn json(&self) -> Value {
        let identities = |pair: &[Digest; 2]| json!({ "initramfs": pair[0].to_string(), "kernel": pair[1].to_string() });
        json!({
            "arch": self.arch.map(|arch| arch.name()),
            "explanation": self.lines,
            "recipe": self.recipe,
            "rounds": self.identities.iter().skip(1).map(identities).collect::<Vec<_>>(),
            "stored": self.identities.first().map(identities),
            "variations": self.rows.iter().map(|row| json!({
                "applied": row.applied,
                "here": row.here,
                "name": row.name,
                "rounds": row.rounds,
                "why_not": row.why,
            })).collect::<Vec<_>>(),
            "verdict": self.verdict,
        })
    }
}

impl From<CheckError> for Failure {
    fn from(error: CheckError) -> Failure {
        match error {
            CheckError::Store(error) => Failure::from(error),
            error => Failure::Plain {
                help: Some("`mkimg realize --verify` shows whether it works at all; TMPDIR names another place for the rounds".to_owned()),
                error: Box::new(error),
                code: Code::Failed,
            },
        }
    }
}
