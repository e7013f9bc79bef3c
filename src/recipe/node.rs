//! One node against its form: arguments, properties and block, with an error for each that should not be there.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};

use kdl::{KdlEntry, KdlNode, KdlValue};

use super::compose::NODES;
use super::diagnostic::Diagnostic;
use super::include::joined;
use super::model::Spanned;
use super::param;
use super::report::Report;
use super::source_map::Span;
use super::word::{list, nearest, suggest};
use crate::arch::Arch;
use crate::text::shown;

/// What a kind of node looks like.
pub(crate) struct Form {
    /// Its name.
    pub(crate) name: &'static str,
    /// What its arguments are; all are required, but those after `required`.
    pub(crate) arguments: &'static [&'static str],
    /// How many arguments there must be.
    pub(crate) required: usize,
    /// The properties that it may have.
    pub(crate) properties: &'static [&'static str],
    /// The nodes that its block may have; empty is no block.
    pub(crate) children: &'static [&'static str],
    /// How it is written.
    pub(crate) example: &'static str,
}

/// A node that was compared with its form.
pub(crate) struct Node<'a> {
    pub(crate) form: &'static Form,
    pub(crate) report: &'a Report<'a>,
    /// The whole node.
    pub(crate) span: Span,
    /// Its name, arguments and properties.
    pub(crate) head: Span,
    arguments: Vec<Value<'a>>,
    properties: BTreeMap<&'static str, Value<'a>>,
    children: &'a [KdlNode],
}

/// An argument or the value of a property.
pub(crate) struct Value<'a> {
    pub(crate) report: &'a Report<'a>,
    /// What it is, in the words of a message: `` `mode` `` or `the path`.
    pub(crate) what: String,
    /// The value alone.
    pub(crate) span: Span,
    /// The property with its name.
    pub(crate) whole: Span,
    pub(super) kdl: Cow<'a, KdlValue>,
    /// It is the value of a parameter, which can be written as a text, too.
    pub(super) is_param: bool,
}

impl<'a> Node<'a> {
    /// Reads a node, reporting whatever does not fit its form.
    pub(crate) fn read(kdl: &'a KdlNode, form: &'static Form, report: &'a Report<'a>) -> Node<'a> {
        let name = range(kdl.name().span());
        let last = kdl
            .entries()
            .last()
            .map_or(name.end, |entry| range(entry.span()).end);
        let whole = range(kdl.span());
        let trimmed = report
            .slice(&whole)
            .trim_end_matches([' ', '\t', '\\', '\r', '\n']);
        let mut node = Node {
            form,
            report,
            span: report.place(name.start..(whole.start + trimmed.len()).max(last)),
            head: report.place(name.start..last),
            arguments: Vec::new(),
            properties: BTreeMap::new(),
            children: kdl.children().map_or(&[], |block| block.nodes()),
        };
        for entry in kdl.entries() {
            match entry.name() {
                None => node.argument(entry),
                Some(name) => node.property(name.value(), &report.place(range(name.span())), entry),
            }
        }
        node.count();
        if form.children.is_empty() && kdl.children().is_some() {
            let message = format!("`{}` has no block", form.name);
            let open = report.slice(&(last..node.span.end()));
            let skip = open.find('{').unwrap_or(0);
            let brace = report.place(last + skip..last + skip + 1);
            report.error(
                message,
                &brace,
                "not expected here",
                format!("write {}", form.example),
            );
        }
        node
    }

    fn value(&self, entry: &'a KdlEntry, what: String) -> Value<'a> {
        let whole = range(entry.span());
        let length = entry.format().map_or(0, |format| format.value_repr.len());
        let (kdl, is_param) = self.report.replaced(entry.value());
        let value = Value {
            report: self.report,
            what,
            span: (self.report).place(whole.end.saturating_sub(length).max(whole.start)..whole.end),
            whole: self.report.place(whole),
            kdl,
            is_param,
        };
        value.look_for_misspelt();
        value
    }

    fn argument(&mut self, entry: &'a KdlEntry) {
        let form = self.form;
        let Some(what) = form.arguments.get(self.arguments.len()) else {
            let span = self.report.place(range(entry.span()));
            let message = match form.arguments.len() {
                0 => format!("`{}` takes no argument, only properties", form.name),
                1 => format!("`{}` takes one argument, {}", form.name, form.arguments[0]),
                n => format!(
                    "`{}` takes {n} arguments: {}",
                    form.name,
                    form.arguments.join(" and ")
                ),
            };
            let label = match form.arguments.len() {
                0 => "not expected here",
                _ => "one too many",
            };
            self.report
                .error(message, &span, label, format!("write {}", form.example));
            return;
        };
        self.arguments.push(self.value(entry, (*what).to_owned()));
    }

    fn property(&mut self, name: &str, span: &Span, entry: &'a KdlEntry) {
        let form = self.form;
        let known = form.properties.iter().find(|known| **known == name);
        if known.is_none() {
            let message = format!("`{}` has no property `{name}`", form.name);
            let help = match form.properties {
                _ if form.children.contains(&name) => {
                    format!("it stands in the block, as a node: {}", form.example)
                }
                [] => format!("it has none: write {}", form.example),
                [one] => suggest(name, form.properties, &format!("it takes `{one}`")),
                all => suggest(name, all, &format!("it takes {}", list(all))),
            };
            self.report.error(message, span, "unknown property", help);
        }
        // What was meant is taken for it, so that it is not missing as well.
        let guess =
            || nearest(name, form.properties).filter(|near| !self.properties.contains_key(near));
        let Some(name) = known.copied().or_else(guess) else {
            return;
        };
        let value = self.value(entry, format!("`{name}`"));
        if let Some(first) = self.properties.get(name) {
            let error = Diagnostic::error(
                format!("`{name}` is given twice"),
                value.whole.clone(),
                "given again here",
            );
            let error = error.and(first.whole.clone(), "given here first");
            self.report.add(error.help("keep one of them"));
            return;
        }
        self.properties.insert(name, value);
    }

    /// Reports arguments that are missing.
    fn count(&self) {
        let form = self.form;
        if let Some(missing) = form.arguments.get(self.arguments.len()..form.required) {
            if missing.is_empty() {
                return;
            }
            let message = format!("`{}` lacks {}", form.name, missing.join(" and "));
            let label = format!("{} should follow", missing[0]);
            self.report.error(
                message,
                &self.head,
                label,
                format!("write {}", form.example),
            );
        }
    }

    /// Returns an argument.
    pub(crate) fn get(&self, index: usize) -> Option<&Value<'a>> {
        self.arguments.get(index)
    }

    /// Returns a property.
    pub(crate) fn prop(&self, name: &str) -> Option<&Value<'a>> {
        self.properties.get(name)
    }

    /// Returns its `override=#true`, where it has that.
    pub(crate) fn replaces(&self) -> Option<Span> {
        let flag = self.properties.get("override")?;
        (flag.kdl().as_bool() == Some(true)).then(|| flag.whole.clone())
    }

    /// Returns a property that must be there.
    pub(crate) fn need(&self, name: &str) -> Option<&Value<'a>> {
        let value = self.properties.get(name);
        if value.is_none() {
            let message = format!("`{}` lacks `{name}=`", self.form.name);
            let label = format!("`{name}=` is missing");
            self.report.error(
                message,
                &self.head,
                label,
                format!("write {}", self.form.example),
            );
        }
        value
    }

    /// Returns the nodes of the block as they are.
    pub(crate) fn block(&self) -> &'a [KdlNode] {
        self.children
    }

    /// Returns the nodes of the block with the kinds that they are, or were meant to be.
    pub(crate) fn children(&self) -> Vec<(&'static str, &'a KdlNode)> {
        if self.form.children.is_empty() {
            return Vec::new();
        }
        let parent = format!("`{}`", self.form.name);
        kinds(self.children, &parent, self.form.children, self.report)
    }
}

/// Returns nodes with the kinds that they are, or were meant to be; reports unknown ones.
pub(crate) fn kinds<'a>(
    nodes: &'a [KdlNode],
    parent: &str,
    allowed: &[&'static str],
    report: &Report<'_>,
) -> Vec<(&'static str, &'a KdlNode)> {
    let known = |node: &'a KdlNode| {
        let name = node.name().value();
        let kind = allowed.iter().find(|kind| **kind == name).copied();
        if kind.is_none() {
            let message = format!("unknown node `{}`", shown(name));
            let label = format!("{parent} has no such node");
            let is_top = NODES.contains(&name) && parent.starts_with('`');
            let help = match is_top && nearest(name, allowed).is_none() {
                true => format!("`{name}` stands outside of every block: move it there"),
                false => suggest(name, allowed, &format!("it may have {}", list(allowed))),
            };
            let name = report.place(range(node.name().span()));
            report.error(message, &name, label, help);
        }
        Some((kind.or_else(|| nearest(name, allowed))?, node))
    };
    nodes.iter().filter_map(known).collect()
}

/// Returns the bytes of a place.
pub(crate) fn range(span: miette::SourceSpan) -> Range<usize> {
    span.offset()..span.offset() + span.len()
}

impl Value<'_> {
    /// Returns it with the values of parameters in it.
    pub(crate) fn kdl(&self) -> &KdlValue {
        &self.kdl
    }

    /// Warns of what is nearly the name of a parameter.
    fn look_for_misspelt(&self) {
        let text = self.kdl.as_string().unwrap_or_default();
        if let Some((name, near)) = param::misspelt(text, &self.report.values) {
            let message = format!("`{{{}}}` is no parameter, and stays as it is", shown(name));
            let warning = Diagnostic::warning(message, self.span.clone(), "in this text");
            let help = format!("did you mean `{{{near}}}`?");
            self.report.warn(warning.help(help));
        }
    }

    /// Adds an error about this value.
    pub(crate) fn refuse(
        &self,
        message: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.report.error(message, &self.span, label, help);
    }

    /// Returns the value as it is written.
    pub(crate) fn raw(&self) -> &str {
        self.report.slice(&self.span.range)
    }

    /// Returns the property's name, or nothing for an argument.
    pub(super) fn assignment(&self) -> String {
        match self
            .what
            .strip_prefix('`')
            .and_then(|what| what.strip_suffix('`'))
        {
            Some(name) => format!("{name}="),
            None => String::new(),
        }
    }

    fn wrong_type(&self, wanted: &str, example: &str) {
        let message = format!("{} must be {wanted}", self.what);
        let label = format!("this is {}", kind(self.kdl()));
        let help = format!("write `{}{example}`", self.assignment());
        self.refuse(message, label, help);
    }

    /// Returns a text.
    pub(crate) fn text(&self) -> Option<Spanned<String>> {
        if self.is_param {
            let value = param::text_of(self.kdl());
            let span = self.span.clone();
            return Some(Spanned { value, span });
        }
        let Some(text) = self.kdl().as_string() else {
            let raw = self.raw();
            let bare = raw.trim_start_matches('#');
            self.wrong_type("a text", &format!("\"{bare}\""));
            return None;
        };
        Some(Spanned {
            value: text.to_owned(),
            span: self.span.clone(),
        })
    }

    /// Returns a text of one line that is not empty.
    pub(crate) fn line(&self) -> Option<Spanned<String>> {
        let text = self.text()?;
        if text.value.is_empty() {
            let message = format!("{} is empty", self.what);
            self.refuse(
                message,
                "nothing between the quotes",
                "write what it should be, or leave it out",
            );
            return None;
        }
        self.one_line(&text.value).then_some(text)
    }

    /// Returns the path of a file of this machine.
    pub(crate) fn file(&self) -> Option<Spanned<String>> {
        let path = self.line()?;
        if path.value.ends_with('/') {
            let message = format!("{} is a directory", self.what);
            let help = "name a file; a whole directory is `tree \"/DIRECTORY\" local=\"..\"`";
            self.refuse(message, "ends with `/`", help);
            return None;
        }
        Some(self.beside(path))
    }

    /// Returns a path of this machine as it is written from the recipe's directory.
    pub(super) fn beside(&self, path: Spanned<String>) -> Spanned<String> {
        match self.report.directory {
            "" => path,
            directory => Spanned {
                value: joined(directory, &path.value),
                ..path
            },
        }
    }

    /// Returns the path of a directory of this machine, without a `/` at its end.
    pub(crate) fn directory(&self) -> Option<Spanned<String>> {
        let mut path = self.line()?;
        let end = path.value.trim_end_matches('/').len();
        path.value.truncate(end.max(1));
        Some(self.beside(path))
    }

    /// Says whether a text has neither a line break nor a NUL; reports it otherwise.
    pub(crate) fn one_line(&self, text: &str) -> bool {
        let Some(bad) = text.chars().find(|c| matches!(c, '\n' | '\r' | '\0')) else {
            return true;
        };
        let (name, label) = match bad {
            '\0' => ("a NUL character", "a NUL ends a text wherever C reads it"),
            _ => ("a line break", "one line is wanted"),
        };
        let message = format!("{} has {name} in it", self.what);
        self.refuse(message, label, "take it out");
        false
    }

    /// Returns a number within bounds.
    pub(crate) fn number(&self, bounds: RangeInclusive<i128>) -> Option<i128> {
        let (low, high) = (bounds.start(), bounds.end());
        let Some(number) = self.kdl().as_integer() else {
            let text = self.kdl().as_string().unwrap_or_default();
            let example = text.parse::<i128>().unwrap_or(*low);
            self.wrong_type("a whole number", &example.to_string());
            return None;
        };
        if !bounds.contains(&number) {
            let message = format!("{} must be {low} to {high}, not {number}", self.what);
            self.refuse(
                message,
                "out of bounds",
                format!("write a number from {low} to {high}"),
            );
            return None;
        }
        Some(number)
    }

    /// Returns a number from 0 to 0xffffffff.
    pub(crate) fn number32(&self) -> Option<u32> {
        let number = self.number(0..=i128::from(u32::MAX))?;
        u32::try_from(number).ok()
    }

    /// Returns `#true` or `#false`.
    pub(crate) fn flag(&self) -> Option<bool> {
        let flag = self.kdl().as_bool();
        if flag.is_none() {
            self.wrong_type("`#true` or `#false`", "#true");
        }
        flag
    }

    /// Returns an architecture.
    pub(super) fn architecture(&self) -> Option<Arch> {
        let names = Arch::ALL.map(Arch::name);
        self.choice(&names)?.parse().ok()
    }

    /// Returns one of a few words.
    pub(crate) fn choice<'w>(&self, allowed: &[&'w str]) -> Option<&'w str> {
        let text = self.text()?.value;
        let found = allowed.iter().find(|word| **word == text).copied();
        if found.is_none() {
            let message = format!("{} cannot be `{}`", self.what, shown(&text));
            let help = suggest(&text, allowed, &format!("it is one of {}", list(allowed)));
            self.refuse(message, "not a known value", help);
        }
        found
    }
}

fn kind(value: &KdlValue) -> &'static str {
    match value {
        KdlValue::String(_) => "a text",
        KdlValue::Integer(_) => "a number",
        KdlValue::Float(_) => "a number with a fraction",
        KdlValue::Bool(true) => "`#true`",
        KdlValue::Bool(false) => "`#false`",
        KdlValue::Null => "`#null`",
    }
}
