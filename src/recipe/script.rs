//! The `boot` and `test` nodes.

use kdl::KdlNode;

use super::diagnostic::Diagnostic;
use super::model::{Boot, Ending, Pattern, Spanned, Step, StepKind, TEST_WITHIN_MS, Test};
use super::node::{Form, Node, Value};
use super::report::Report;
use super::source_map::Span;

const BOOT: Form = Form {
    name: "boot",
    arguments: &[],
    required: 0,
    properties: &["memory", "cpus", "cmdline"],
    children: &[],
    example: "`boot memory=\"128MiB\" cpus=1 cmdline=\"quiet\"`",
};

const TEST: Form = Form {
    name: "test",
    arguments: &["the name"],
    required: 1,
    properties: &["within", "override"],
    children: &["expect", "send", "absent", "exit", "serve"],
    example: "`test \"NAME\" within=\"60s\" { expect \"..\"; send \"..\" }`",
};

const EXPECT: Form = Form {
    name: "expect",
    arguments: &["the text"],
    required: 0,
    properties: &["line", "regex"],
    children: &[],
    example: "`expect line=\"WHOLE LINE\"`, `expect \"TEXT\"` or `expect regex=\"PATTERN\"`",
};

const ABSENT: Form = Form {
    name: "absent",
    example: "`absent line=\"WHOLE LINE\"`, `absent \"TEXT\"` or `absent regex=\"PATTERN\"`",
    ..EXPECT
};

const SEND: Form = Form {
    name: "send",
    arguments: &["the line"],
    required: 1,
    properties: &[],
    children: &[],
    example: "`send \"LINE\"`, a node for each line",
};

const EXIT: Form = Form {
    name: "exit",
    arguments: &["the ending"],
    required: 1,
    properties: &[],
    children: &[],
    example: "`exit \"poweroff\"`",
};

const SERVE: Form = Form {
    name: "serve",
    arguments: &["the path"],
    required: 1,
    properties: &["text"],
    children: &[],
    example: "`serve \"/PATH\" text=\"..\"`",
};

/// The forms of this file, for tests that go through the whole language.
#[cfg(test)]
pub(super) const FORMS: &[&Form] = &[&BOOT, &TEST, &EXPECT, &ABSENT, &SEND, &EXIT, &SERVE];

/// The longest command line in bytes: `COMMAND_LINE_SIZE` of x86 and arm64 is 2048 with the NUL (`asm/setup.h`).
const CMDLINE: usize = 2047;

/// The least memory that is not a slip: 1 MiB.
const LEAST_MEMORY: u64 = 1 << 20;

/// Reads the `boot` node.
pub(super) fn boot(kdl: &KdlNode, report: &Report<'_>) -> Option<Boot> {
    let node = Node::read(kdl, &BOOT, report);
    let default = Boot::default();
    let memory = node.prop("memory").map_or(Some(default.memory), memory);
    let cpus = node
        .prop("cpus")
        .map_or(Some(1), |value| value.number(1..=255));
    let cmdline = node.prop("cmdline").map_or(Some(default.cmdline), cmdline);
    Some(Boot {
        memory: memory?,
        cpus: u32::try_from(cpus?).ok()?,
        cmdline: cmdline?,
    })
}

fn memory(value: &Value<'_>) -> Option<u64> {
    let bytes = value.bytes()?;
    if bytes < LEAST_MEMORY {
        let message = format!("`memory` is {bytes} bytes");
        let help = match bytes {
            0 => "write `memory=\"128MiB\"`".to_owned(),
            _ => format!(
                "write `memory=\"{bytes}MiB\"` for MiB: a number without a unit counts bytes"
            ),
        };
        value.refuse(message, "less than 1 MiB", help);
        return None;
    }
    Some(bytes)
}

fn cmdline(value: &Value<'_>) -> Option<String> {
    let text = value.text()?.value;
    if !value.one_line(&text) {
        return None;
    }
    if text.len() > CMDLINE {
        let message = format!("`cmdline` has {} bytes", text.len());
        let help = format!("the kernel reads at most {CMDLINE} bytes: shorten it");
        value.refuse(message, "too long", help);
        return None;
    }
    Some(text)
}

/// A test as far as it could be read: its name counts even where the rest is wrong.
pub(super) struct Declared {
    pub(super) name: Option<Spanned<String>>,
    /// Its `override=#true`.
    pub(super) replaces: Option<Span>,
    pub(super) test: Option<Test>,
}

/// Reads a `test` node.
pub(super) fn test(kdl: &KdlNode, report: &Report<'_>) -> Declared {
    let node = Node::read(kdl, &TEST, report);
    let name = node.get(0).and_then(Value::line);
    let within = node
        .prop("within")
        .map_or(Some(TEST_WITHIN_MS), Value::milliseconds);
    if let Some(flag) = node.prop("override") {
        flag.flag();
    }
    let replaces = node.replaces();
    let children = node.children();
    if kdl.children().is_none_or(|block| block.nodes().is_empty()) {
        let help = format!("write {}", TEST.example);
        report.error(
            "`test` has no steps",
            &node.head,
            "it would show nothing",
            help,
        );
        return Declared {
            name,
            replaces,
            test: None,
        };
    }
    let count = children.len();
    let read = |(kind, kdl)| step(kind, kdl, report);
    let steps: Vec<Step> = children.into_iter().filter_map(read).collect();
    let complete = steps.len() == count && count > 0;
    for pair in steps.windows(2) {
        if let [before, after] = pair
            && matches!(before.kind, StepKind::Exit(_))
        {
            let message = "a step after the guest's end";
            let error = Diagnostic::error(message, after.span.clone(), "would never run");
            let error = error.and(before.span.clone(), "the guest is gone after this");
            report.add(error.help("`exit` is the last step of a test: move it to the end"));
        }
    }
    let test = || {
        Some(Test {
            name: name.clone()?,
            within_ms: within?,
            steps,
            span: node.head.clone(),
        })
    };
    let test = if complete { test() } else { None };
    Declared {
        name,
        replaces,
        test,
    }
}

fn step(kind: &str, kdl: &KdlNode, report: &Report<'_>) -> Option<Step> {
    let form = match kind {
        "expect" => &EXPECT,
        "absent" => &ABSENT,
        "send" => &SEND,
        "serve" => &SERVE,
        _ => &EXIT,
    };
    let node = Node::read(kdl, form, report);
    let kind = match kind {
        "expect" => StepKind::Expect(pattern(&node)?),
        "absent" => StepKind::Absent(pattern(&node)?),
        "send" => {
            let value = node.get(0)?;
            let line = value.text()?.value;
            StepKind::Send(Some(line).filter(|line| value.one_line(line))?)
        }
        "serve" => {
            let path = node.get(0).and_then(|value| value.image_path(true));
            let text = node.need("text").and_then(Value::text);
            StepKind::Serve {
                path: path?.value,
                text: text?.value,
            }
        }
        _ => match node.get(0)?.choice(&["poweroff", "reboot", "panic"])? {
            "poweroff" => StepKind::Exit(Ending::Poweroff),
            "reboot" => StepKind::Exit(Ending::Reboot),
            _ => StepKind::Exit(Ending::Panic),
        },
    };
    Some(Step {
        kind,
        span: node.span,
    })
}

fn pattern(node: &Node<'_>) -> Option<Pattern> {
    let (text, line, regex) = (node.get(0), node.prop("line"), node.prop("regex"));
    let mut given = [text, line, regex].into_iter().flatten();
    if let (Some(first), Some(second)) = (given.next(), given.next()) {
        let message = format!("`{}` has two patterns", node.form.name);
        let error = Diagnostic::error(message, second.whole.clone(), "a second pattern");
        let error = error.and(first.span.clone(), "the first one");
        node.report.add(error.help("write a node for each"));
        return None;
    }
    if let Some(text) = text {
        return Some(Pattern::Text(text.line()?.value));
    }
    if let Some(line) = line {
        return Some(Pattern::Line(line.line()?.value));
    }
    let Some(regex) = regex else {
        let message = format!("`{}` lacks a text", node.form.name);
        let help = format!("write {}", node.form.example);
        node.report
            .error(message, &node.head, "what should be looked for?", help);
        return None;
    };
    let text = regex.line()?.value;
    if let Err(error) = regex_lite::Regex::new(&text) {
        let help = "a character that stands for itself is written with a `\\` before it (in a KDL string `\\\\`)";
        regex.refuse(
            format!("`regex` is no regular expression: {error}"),
            "not understood",
            help,
        );
        return None;
    }
    Some(Pattern::Regex(text))
}
