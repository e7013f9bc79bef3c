//! Parameters: `param "hostname" default="box"` lets `{hostname}` stand in the texts of its file, and of those that include it.

use std::collections::BTreeMap;

use kdl::KdlValue;

use super::Invalid;
use super::compose::{Claim, Clash, Item, standing, twice};
use super::diagnostic::Diagnostic;
use super::node::{Form, Node, Value};
use super::report::Report;
use super::source_map::{FileId, SourceMap, Span};
use super::word::{list, nearest, suggest};
use crate::text::shown;

pub(super) const PARAM: Form = Form {
    name: "param",
    arguments: &["the name"],
    required: 1,
    properties: &["default", "type", "description"],
    children: &[],
    example: "`param \"hostname\" default=\"box\"` or `param \"port\" type=\"int\"`",
};

pub(super) const SET: Form = Form {
    name: "set",
    arguments: &["the name", "the value"],
    required: 2,
    properties: &[],
    children: &[],
    example: "`set \"hostname\" \"web1\"`",
};

/// What a parameter can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Text,
    Int,
    Bool,
}

impl Type {
    const NAMES: [&'static str; 3] = ["text", "int", "bool"];

    fn of(value: &KdlValue) -> Option<Type> {
        match value {
            KdlValue::String(_) => Some(Type::Text),
            KdlValue::Integer(_) => Some(Type::Int),
            KdlValue::Bool(_) => Some(Type::Bool),
            KdlValue::Float(_) | KdlValue::Null => None,
        }
    }

    /// Returns what it is, and how one is written.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Type::Text => ("a text", "\"..\""),
            Type::Int => ("a whole number", "8080"),
            Type::Bool => ("`#true` or `#false`", "#true"),
        }
    }

    /// Reads what was written on the command line.
    fn read(self, text: &str) -> Option<KdlValue> {
        match self {
            Type::Text => Some(KdlValue::String(text.to_owned())),
            Type::Int => text.parse().ok().map(KdlValue::Integer),
            Type::Bool => match text.trim_start_matches('#') {
                "true" => Some(KdlValue::Bool(true)),
                "false" => Some(KdlValue::Bool(false)),
                _ => None,
            },
        }
    }
}

struct Param {
    name: String,
    /// `None` where it could not be read.
    kind: Option<Type>,
    default: Option<KdlValue>,
    span: Span,
}

/// The values of the parameters, by their names, each with the file that declares it.
pub(super) type Values = BTreeMap<String, (FileId, KdlValue)>;

/// Returns the values of the parameters that `items` declare: `given` ones, else those that are set, else the defaults. With a value
/// for every name, so that a mistake here is no other one elsewhere.
pub(super) fn values(
    items: &[&Item<'_>],
    map: &SourceMap,
    reports: &[Report<'_>],
    given: &BTreeMap<String, String>,
) -> Values {
    let params = params(items, reports);
    let mut set = set(items, &params, map, reports);
    let mut values = Values::new();
    for param in params {
        let kind = param.kind.unwrap_or(Type::Text);
        let given = given.get(&param.name).and_then(|text| kind.read(text));
        let value = given.or_else(|| set.remove(&param.name)).or(param.default);
        if value.is_none()
            && param.kind.is_some()
            && let Some(report) = reports.first()
        {
            let name = shown(&param.name);
            let message = format!("the parameter `{name}` has no value");
            let help = format!(
                "give it one with `--set {name}=..`, with `set \"{name}\" ..` in the recipe that includes this file, or with `default=` here"
            );
            report.error(message, &param.span, "has no default", help);
        }
        let value = value.unwrap_or(KdlValue::String(String::new()));
        values.insert(param.name, (param.span.file, value));
    }
    values
}

/// Checks the values that were given on the command line.
///
/// # Errors
/// [`Invalid::Unreadable`] for one that no parameter has.
pub(super) fn check_given(
    items: &[&Item<'_>],
    reports: &[Report<'_>],
    given: &BTreeMap<String, String>,
) -> Result<(), Invalid> {
    if given.is_empty() {
        return Ok(());
    }
    let params = params(items, reports);
    for (name, text) in given {
        let shown = shown(name);
        let Some(param) = params.iter().find(|param| param.name == *name) else {
            let known: Vec<&str> = params.iter().map(|param| param.name.as_str()).collect();
            let rest = match known.is_empty() {
                true => format!("declare it: `param \"{shown}\" default=\"..\"`"),
                false => format!("its parameters are {}", list(&known)),
            };
            return Err(Invalid::Unreadable {
                message: format!("the recipe has no parameter `{shown}`"),
                help: suggest(name, &known, &rest),
            });
        };
        let kind = param.kind.unwrap_or(Type::Text);
        if kind.read(text).is_none() {
            let (what, example) = kind.words();
            return Err(Invalid::Unreadable {
                message: format!(
                    "the parameter `{shown}` is {what}, not `{}`",
                    self::shown(text)
                ),
                help: format!("write `--set {shown}={}`", example.trim_start_matches('#')),
            });
        }
    }
    Ok(())
}

/// Reads what declares parameters.
fn params(items: &[&Item<'_>], reports: &[Report<'_>]) -> Vec<Param> {
    let mut params: Vec<Param> = Vec::new();
    for item in items.iter().filter(|item| item.kind == PARAM.name) {
        let Some(report) = reports.get(item.file.index()) else {
            continue;
        };
        let node = Node::read(item.node, &PARAM, report);
        let name = node.get(0).and_then(Value::name);
        if let Some(description) = node.prop("description") {
            description.line();
        }
        let said = node.prop("type").map(|value| {
            Some(match value.choice(&Type::NAMES)? {
                "int" => Type::Int,
                "bool" => Type::Bool,
                _ => Type::Text,
            })
        });
        let default = node.prop("default");
        let kind = match (said, default) {
            (Some(said), _) => said,
            (None, None) => Some(Type::Text),
            (None, Some(default)) => {
                let kind = Type::of(default.kdl());
                if kind.is_none() {
                    let help = "a parameter is a text, a whole number, or `#true` or `#false`";
                    default.refuse(
                        "`default` is nothing that a parameter can be",
                        "this one",
                        help,
                    );
                }
                kind
            }
        };
        if let (Some(Some(said)), Some(default)) = (said, default) {
            fits(default, said);
        }
        let Some(name) = name else { continue };
        if let Some(first) = params.iter().find(|param| param.name == name.value) {
            let message = format!("two parameters are called `{}`", name.value);
            let error = Diagnostic::error(message, name.span.clone(), "again here");
            let help = match first.span.file == name.span.file {
                true => "give one of them another name".to_owned(),
                false => format!(
                    "keep one of them; `set \"{}\" ..` gives that of an included file its value",
                    name.value
                ),
            };
            report.add(error.and(first.span.clone(), "the first one").help(help));
            continue;
        }
        params.push(Param {
            name: name.value,
            kind,
            default: default.map(|value| value.kdl().clone()),
            span: name.span,
        });
    }
    params
}

/// Says whether a value is one of a type; reports it otherwise.
fn fits(value: &Value<'_>, kind: Type) -> bool {
    let fits = Type::of(value.kdl()) == Some(kind);
    if !fits {
        let (what, example) = kind.words();
        value.refuse(
            format!("{} must be {what}", value.what),
            "of another type",
            format!("write it as `{example}`"),
        );
    }
    fits
}

/// Returns what `set` says.
fn set(
    items: &[&Item<'_>],
    params: &[Param],
    map: &SourceMap,
    reports: &[Report<'_>],
) -> BTreeMap<String, KdlValue> {
    let mut claims = Vec::new();
    let mut values = Vec::new();
    for item in items.iter().filter(|item| item.kind == SET.name) {
        let Some(report) = reports.get(item.file.index()) else {
            continue;
        };
        let node = Node::read(item.node, &SET, report);
        let (name, value) = (node.get(0).and_then(Value::text), node.get(1));
        let (Some(name), Some(value)) = (name, value) else {
            continue;
        };
        let here = |param: &&Param| {
            item.file == param.span.file || map.includes(item.file, param.span.file)
        };
        let known: Vec<&Param> = params.iter().filter(here).collect();
        let Some(param) = known.iter().find(|param| param.name == name.value) else {
            let names: Vec<&str> = known.iter().map(|param| param.name.as_str()).collect();
            let rest = match names.is_empty() {
                true => "neither this file nor one that it includes has a `param`".to_owned(),
                false => format!("its parameters are {}", list(&names)),
            };
            let help = suggest(&name.value, &names, &rest);
            let message = format!("there is no parameter `{}`", shown(&name.value));
            report.error(message, &name.span, "not declared", help);
            continue;
        };
        if param.kind.is_some_and(|kind| fits(value, kind)) {
            values.push(value.kdl().clone());
            claims.push(Claim {
                item,
                name: name.value,
                span: name.span,
                replaces: None,
            });
        }
    }
    let stands = standing(&claims, map, false, |later, first, clash| {
        if clash == Clash::Twice {
            twice(
                &format!("set \"{}\"", later.name),
                &later.span,
                &first.span,
                reports,
            );
        }
    });
    let all = claims.into_iter().zip(values).zip(stands);
    all.filter(|(_, stands)| *stands)
        .map(|((claim, value), _)| (claim.name, value))
        .collect()
}

/// Returns a text with the values of the parameters whose names stand in it, if any do. `{name}` is replaced, where `name` is one,
/// unless a `$` stands before it; `{{name}}` becomes `{name}`.
pub(super) fn replaced(text: &str, values: &BTreeMap<&str, &KdlValue>) -> Option<String> {
    if values.is_empty() || !text.contains('{') {
        return None;
    }
    let mut out = String::new();
    let mut rest = text;
    let mut changed = false;
    while let Some(at) = rest.find('{') {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let is_shells = out.ends_with('$');
        let escaped = between(from, "{{", "}}").filter(|name| values.contains_key(name));
        let named = between(from, "{", "}").filter(|_| !is_shells);
        let value = named.and_then(|name| Some((name, values.get(name)?)));
        let length = match (escaped, value) {
            (Some(name), _) => {
                out.push_str(&format!("{{{name}}}"));
                name.len() + 4
            }
            (None, Some((name, value))) => {
                out.push_str(&text_of(value));
                name.len() + 2
            }
            (None, None) => {
                out.push('{');
                rest = from.get(1..).unwrap_or_default();
                continue;
            }
        };
        changed = true;
        rest = from.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    changed.then_some(out)
}

/// Returns the value of the parameter whose name is all that a text is.
pub(super) fn whole<'v>(
    text: &str,
    values: &BTreeMap<&'v str, &'v KdlValue>,
) -> Option<&'v KdlValue> {
    let name = text.strip_prefix('{')?.strip_suffix('}')?;
    values.get(name).copied()
}

/// Returns a name in braces that is nearly one of a parameter, with that.
pub(super) fn misspelt<'t, 'v>(
    text: &'t str,
    values: &BTreeMap<&'v str, &KdlValue>,
) -> Option<(&'t str, &'v str)> {
    if values.is_empty() {
        return None;
    }
    let known: Vec<&str> = values.keys().copied().collect();
    let names = text.match_indices('{').filter_map(|(at, _)| {
        let from = text.get(at..)?;
        let is_shells = text.get(..at)?.ends_with(['$', '{']);
        between(from, "{", "}").filter(|_| !is_shells)
    });
    let mut near = names.filter_map(|name| {
        let is_name =
            !values.contains_key(name) && name.len() > 2 && super::check_name(name).is_ok();
        Some((name, nearest(name, &known).filter(|_| is_name)?))
    });
    near.next()
}

fn between<'t>(text: &'t str, open: &str, close: &str) -> Option<&'t str> {
    let inner = text.strip_prefix(open)?;
    let name = inner.get(..inner.find('}')?)?;
    inner.get(name.len()..)?.starts_with(close).then_some(name)
}

pub(super) fn text_of(value: &KdlValue) -> String {
    match value {
        KdlValue::String(text) => text.clone(),
        KdlValue::Integer(number) => number.to_string(),
        KdlValue::Bool(flag) => flag.to_string(),
        KdlValue::Float(_) | KdlValue::Null => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_braces_are_replaced_where_they_are_parameters_and_nothing_else_is() {
        let (host, port) = (KdlValue::String("web1".to_owned()), KdlValue::Integer(80));
        let values = BTreeMap::from([("host", &host), ("port", &port)]);
        for (text, wanted) in [
            ("{host}", "web1"),
            ("http://{host}:{port}/", "http://web1:80/"),
            ("{{host}}", "{host}"),
            ("{{host}", "{web1"),
            ("é{host}ü", "éweb1ü"),
            ("{ {host} }", "{ web1 }"),
            ("{host{port}}", "{host80}"),
        ] {
            assert_eq!(replaced(text, &values).as_deref(), Some(wanted), "{text}");
        }
        for text in [
            "",
            "{",
            "}",
            "{}",
            "{{}}",
            "${host}",
            "${{x}}",
            "{hosts}",
            "{ host }",
            "{{x}}",
            "f() { echo x; }",
            "awk '{print}'",
            "{host",
            "{Host}",
        ] {
            assert_eq!(replaced(text, &values), None, "{text}");
        }
        assert_eq!(replaced("{host}", &BTreeMap::new()), None);
        assert_eq!(whole("{port}", &values), Some(&port));
        assert_eq!(whole("{port} ", &values), None);
        assert_eq!(misspelt("a {hots} b", &values), Some(("hots", "host")));
        assert_eq!(misspelt("${hots} {print} {{hots}}", &values), None);
    }
}
