//! The paths that the sources of a crate name, as the compiler resolves them: `use` trees and paths in code, through `self`, `super`,
//! other names (`use a as b`, `type A = B`), child modules, globs and re-exports.

use std::collections::{BTreeMap, BTreeSet};

use crate::tokens::{Token, tokens};

/// The sources of a crate.
#[derive(Default)]
pub struct Crate {
    modules: BTreeMap<Vec<String>, Module>,
    /// Everything that is named.
    pub uses: Vec<Use>,
}

#[derive(Default)]
struct Module {
    /// Names that stand for a path.
    names: BTreeMap<String, Vec<String>>,
    globs: Vec<Vec<String>>,
    children: BTreeSet<String>,
    items: BTreeSet<String>,
}

/// A path in a source file.
#[derive(Debug, Clone)]
pub struct Use {
    pub file: String,
    pub line: usize,
    /// The module that it stands in.
    pub module: Vec<String>,
    pub path: Vec<String>,
    /// It is compiled for tests alone, or for `fuzz/`.
    pub test: bool,
    /// It only hands a name on: `pub use`.
    pub handed_on: bool,
}

/// How many names lead to others, one behind the other.
const DEPTH: usize = 16;

/// Words before the name of an item.
const ITEMS: [&str; 9] = [
    "fn", "struct", "enum", "union", "trait", "type", "const", "static", "mod",
];

impl Crate {
    /// Reads the files of a crate, each with its path below `src`.
    pub fn read<'t>(files: impl IntoIterator<Item = (String, &'t str)>) -> Crate {
        let mut found = Crate::default();
        let mut tests = BTreeSet::new();
        for (file, text) in files {
            let module = module_of(&file);
            if let Some((name, parent)) = module.split_last() {
                let parent = found.modules.entry(parent.to_vec()).or_default();
                parent.children.insert(name.clone());
            }
            let tokens = tokens(text);
            let mut reader = Reader {
                found: &mut found,
                tests: &mut tests,
                file,
                tokens,
                at: 0,
            };
            reader.block(&module, false);
        }
        // A file is a test's where the module that it is of is declared for tests.
        for one in &mut found.uses {
            one.test |= (0..=one.module.len()).any(|end| tests.contains(&one.module[..end]));
        }
        found
    }

    /// Returns the whole path of one that stands in a module: it begins with `crate`, or with the name of another crate.
    pub fn absolute(&self, module: &[String], path: &[String]) -> Vec<String> {
        self.resolve(module, path, DEPTH)
    }

    fn resolve(&self, module: &[String], path: &[String], depth: usize) -> Vec<String> {
        let Some((first, rest)) = path.split_first() else {
            return in_crate(module, &[]);
        };
        match first.as_str() {
            "crate" => return in_crate(&[], rest),
            "self" if rest.first().is_some_and(|next| next == "super") => {
                return self.resolve(module, rest, depth);
            }
            "self" => return in_crate(module, rest),
            "super" => {
                let above = &module[..module.len().saturating_sub(1)];
                return match rest.first().is_some_and(|next| next == "super") {
                    true => self.resolve(above, rest, depth),
                    false => in_crate(above, rest),
                };
            }
            _ => {}
        }
        let Some(own) = self.modules.get(module).filter(|_| depth > 0) else {
            return path.to_vec();
        };
        if own.children.contains(first) {
            return in_crate(module, path);
        }
        if let Some(target) = own.names.get(first).filter(|target| target != &path) {
            let mut whole = self.resolve(module, target, depth - 1);
            whole.extend_from_slice(rest);
            return whole;
        }
        for glob in &own.globs {
            let target = self.resolve(module, glob, depth - 1);
            if let Some(found) = self.below(&target, first) {
                return [&found[..], rest].concat();
            }
        }
        path.to_vec()
    }

    /// Returns the path of a name in a module of this crate, where that has it.
    fn below(&self, module: &[String], name: &String) -> Option<Vec<String>> {
        let own = self
            .modules
            .get(module.strip_prefix(&["crate".to_owned()])?)?;
        let has =
            own.items.contains(name) || own.children.contains(name) || own.names.contains_key(name);
        has.then(|| [module, std::slice::from_ref(name)].concat())
    }

    /// Returns the module of this crate that has what a whole path names, through all re-exports; nothing where it is of another
    /// crate.
    pub fn home(&self, path: &[String]) -> Option<Vec<String>> {
        self.find_home(path, DEPTH)
    }

    fn find_home(&self, path: &[String], depth: usize) -> Option<Vec<String>> {
        let path = path.strip_prefix(&["crate".to_owned()])?;
        let mut at = Vec::new();
        for (number, name) in path.iter().enumerate() {
            let module = self.modules.get(&at)?;
            if module.children.contains(name) {
                at.push(name.clone());
                continue;
            }
            if module.items.contains(name) || depth == 0 {
                break;
            }
            let rest = &path[number..];
            let whole = self.resolve(&at, rest, depth - 1);
            if whole == rest {
                break;
            }
            return self.find_home(&whole, depth - 1);
        }
        Some(at)
    }
}

fn in_crate(module: &[String], rest: &[String]) -> Vec<String> {
    let mut whole = vec!["crate".to_owned()];
    whole.extend_from_slice(module);
    whole.extend_from_slice(rest);
    whole
}

/// Returns the module of a file below `src`.
pub fn module_of(file: &str) -> Vec<String> {
    let mut module: Vec<String> = file
        .trim_end_matches(".rs")
        .split('/')
        .map(str::to_owned)
        .collect();
    let is_own = |name: &String| !["mod", "lib", "main"].contains(&name.as_str());
    if !module.last().is_some_and(is_own) {
        module.pop();
    }
    module
}

struct Reader<'c> {
    found: &'c mut Crate,
    tests: &'c mut BTreeSet<Vec<String>>,
    file: String,
    tokens: Vec<Token>,
    at: usize,
}

impl Reader<'_> {
    fn text(&self, ahead: usize) -> &str {
        self.tokens
            .get(self.at + ahead)
            .map_or("", |token| token.text.as_str())
    }

    fn is_name(&self, ahead: usize) -> bool {
        self.tokens.get(self.at + ahead).is_some_and(Token::is_name)
    }

    fn module(&mut self, module: &[String]) -> &mut Module {
        self.found.modules.entry(module.to_vec()).or_default()
    }

    fn push(&mut self, module: &[String], path: Vec<String>, test: bool, handed_on: bool) {
        let line = self
            .tokens
            .get(self.at.min(self.tokens.len() - 1))
            .map_or(0, |token| token.line);
        self.found.uses.push(Use {
            file: self.file.clone(),
            line,
            module: module.to_vec(),
            path,
            test,
            handed_on,
        });
    }

    /// Reads up to the `}` that ends a module or a block, or to the end of the file.
    fn block(&mut self, module: &[String], test: bool) {
        self.module(module);
        while self.at < self.tokens.len() && self.text(0) != "}" {
            self.piece(module, test);
        }
        self.at += 1;
    }

    /// Reads one token, or what it begins.
    fn piece(&mut self, module: &[String], test: bool) {
        match (self.text(0), self.text(1)) {
            ("#", "[") | ("#", "!") => {
                // `#[cfg(test)]` is about the item that follows.
                if self.attribute() {
                    self.item(module);
                }
            }
            // Who may see it, not what it sees.
            ("pub", "(") if self.text(2) == "in" => {
                while !matches!(self.text(0), ")" | "") {
                    self.at += 1;
                }
            }
            ("pub", _) if self.text(1) == "use" || self.after_visibility() == "use" => {
                while self.text(0) != "use" {
                    self.at += 1;
                }
                self.at += 1;
                self.tree(module, Vec::new(), test, true);
            }
            ("use", _) => {
                self.at += 1;
                self.tree(module, Vec::new(), test, false);
            }
            ("mod", _) if self.is_name(1) => {
                let child = [module, &[self.text(1).to_owned()]].concat();
                let name = self.text(1).to_owned();
                let is_inline = self.text(2) == "{";
                self.module(module).children.insert(name);
                if test {
                    self.tests.insert(child.clone());
                }
                self.at += 3;
                if is_inline {
                    self.block(&child, test);
                }
            }
            ("{", _) => {
                self.at += 1;
                self.block(module, test);
            }
            ("const" | "static", "fn" | "mut" | "unsafe" | "async" | "extern") => self.at += 1,
            (word, _) if ITEMS.contains(&word) && self.is_name(1) => {
                let name = self.text(1).to_owned();
                if word == "type" && self.text(2) == "=" && self.is_name(3) {
                    self.at += 3;
                    let path = self.path();
                    self.module(module)
                        .names
                        .entry(name)
                        .or_insert(path.clone());
                    self.push(module, path, test, false);
                    return;
                }
                self.module(module).items.insert(name);
                self.at += 2;
            }
            (".", _) if self.is_name(1) => {
                // A method, or a field.
                let name = format!(".{}", self.text(1));
                self.at += 2;
                self.push(module, vec![name], test, false);
            }
            _ if self.is_name(0) => {
                let path = self.path();
                if path.len() > 1 {
                    self.push(module, path, test, false);
                }
            }
            _ => self.at += 1,
        }
    }

    /// Returns the word behind `pub(..)`.
    fn after_visibility(&self) -> &str {
        match self.text(1) == "(" && self.text(3) == ")" {
            true => self.text(4),
            false => "",
        }
    }

    /// Passes an attribute; returns whether it leaves the next item to tests or to `fuzz/`.
    fn attribute(&mut self) -> bool {
        let mut words = Vec::new();
        let mut depth = 0;
        while self.at < self.tokens.len() {
            match self.text(0) {
                "[" => depth += 1,
                "]" => depth -= 1,
                word => words.push(word.to_owned()),
            }
            self.at += 1;
            if depth == 0 && words.last().is_none_or(|word| word != "#" && word != "!") {
                break;
            }
        }
        let has = |word: &str| words.iter().any(|other| other == word);
        has("cfg") && (has("test") || has("fuzzing")) && !has("not")
    }

    /// Reads an item that is for tests alone.
    fn item(&mut self, module: &[String]) {
        loop {
            match self.text(0) {
                "" | "}" => return,
                ";" => {
                    self.at += 1;
                    return;
                }
                "#" => {
                    self.attribute();
                }
                "{" => return self.piece(module, true),
                "mod" if self.is_name(1) => return self.piece(module, true),
                _ => self.piece(module, true),
            }
        }
    }

    /// Reads a path: names with `::` between them, `<A>::b` and `a::<T>::b` as `A::b` and `a::b`.
    fn path(&mut self) -> Vec<String> {
        let mut path = vec![self.text(0).to_owned()];
        self.at += 1;
        loop {
            if self.text(0) == ">" && self.text(1) == "::" && self.is_name(2) {
                self.at += 1;
            }
            if self.text(0) != "::" || !self.is_name(1) {
                return path;
            }
            path.push(self.text(1).to_owned());
            self.at += 2;
        }
    }

    /// Reads a `use` tree; `before` is the path in front of it.
    fn tree(&mut self, module: &[String], before: Vec<String>, test: bool, handed_on: bool) {
        let mut path = before.clone();
        loop {
            match self.text(0) {
                "::" => self.at += 1,
                "{" => {
                    self.at += 1;
                    while !matches!(self.text(0), "}" | "") {
                        self.tree(module, path.clone(), test, handed_on);
                        self.at += usize::from(self.text(0) == ",");
                    }
                    self.at += 1;
                    return;
                }
                "*" => {
                    self.at += 1;
                    self.module(module).globs.push(path.clone());
                    self.push(module, path, test, handed_on);
                    return;
                }
                // `{self}` is what stands in front of it.
                "self" if !before.is_empty() => self.at += 1,
                _ if self.is_name(0) => {
                    path.push(self.text(0).to_owned());
                    self.at += 1;
                }
                _ => return,
            }
            if self.text(0) == "as" {
                let name = self.text(1).to_owned();
                self.at += 2;
                self.module(module).names.insert(name, path.clone());
                self.push(module, path, test, handed_on);
                return;
            }
            if matches!(self.text(0), "," | "}" | ";" | "") {
                if let Some(name) = path.last() {
                    let name = name.clone();
                    self.module(module).names.insert(name, path.clone());
                }
                self.push(module, path, test, handed_on);
                return;
            }
        }
    }
}
