//! From the parser's events to the tree.

use std::{collections::HashMap, sync::Arc};

use granit_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Tag};

use super::{
    Entry, Fault, MAX_BYTES, MAX_DEPTH, MAX_NODES, Node, Pos, Scalar, Value,
    reference::{Written, from_environment, resolve},
    shortened,
};

/// After so many keys given twice the operator has enough to do.
const MOST_FAULTS: usize = 25;

/// Finds a variable; or why what it holds cannot be taken.
type Lookup<'l> = &'l dyn Fn(&str) -> Result<Option<String>, String>;

/// The tree of a document, or what is wrong with its text.
pub(crate) fn build(text: &str) -> Result<Arc<Node>, Vec<Fault>> {
    build_with(text, &from_environment)
}

/// The same, with variables of the environment found by `lookup`.
pub(crate) fn build_with(text: &str, lookup: Lookup<'_>) -> Result<Arc<Node>, Vec<Fault>> {
    if text.len() > MAX_BYTES {
        let message = format!("the document has {} bytes; {} MiB is the most", text.len(), MAX_BYTES >> 20);
        return Err(vec![fault(Pos { line: 1, column: 1 }, message)]);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let taken = match event {
            Ok((event, span)) => builder.take(event, pos(&span.start), lookup),
            Err(error) => Err(syntax(text, &error)),
        };
        if let Err(fault) = taken {
            builder.faults.push(fault);
            break;
        }
    }
    match builder.root {
        _ if !builder.faults.is_empty() => Err(builder.faults),
        Some(root) if !is_null(&root) => Ok(root),
        _ => Err(vec![fault(
            Pos { line: 1, column: 1 },
            "the document is empty; it needs at least `listen`, `upstreams` and `routes` (config/quickstart.yaml is a start)".to_owned(),
        )]),
    }
}

#[derive(Default)]
struct Builder {
    open: Vec<Frame>,
    anchors: HashMap<usize, Arc<Node>>,
    root: Option<Arc<Node>>,
    documents: u32,
    faults: Vec<Fault>,
}

/// A list or mapping that has begun and not ended.
struct Frame {
    pos: Pos,
    anchor: usize,
    inside: Inside,
}

enum Inside {
    List(Vec<Arc<Node>>),
    Map { entries: Vec<Entry>, lines: HashMap<String, usize>, key: Option<(String, Pos)> },
}

impl Builder {
    fn take(&mut self, event: Event<'_>, pos: Pos, lookup: Lookup<'_>) -> Result<(), Fault> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let message = "a second document begins here; a configuration is one document, so remove this `---` and what belongs to the other";
                    return Err(fault(pos, message.to_owned()));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                let as_text = tagged(tag.as_deref(), pos)?;
                let is_text = as_text || style != ScalarStyle::Plain;
                let make = if is_text { Scalar::quoted } else { Scalar::plain };
                let scalar = match self.resolved(&text, pos, lookup) {
                    // Quoted or not: in a flow mapping a reference must be.
                    Some((resolved, written)) => Scalar::plain(resolved).written(written),
                    None => make(text.into_owned()),
                };
                return self.add(anchor, Node::new(pos, Value::Scalar(scalar)));
            }
            Event::SequenceStart(_, anchor, tag) => {
                tagged(tag.as_deref(), pos)?;
                self.open.push(Frame { pos, anchor, inside: Inside::List(Vec::new()) });
            }
            Event::MappingStart(_, anchor, tag) => {
                tagged(tag.as_deref(), pos)?;
                let inside = Inside::Map { entries: Vec::new(), lines: HashMap::new(), key: None };
                self.open.push(Frame { pos, anchor, inside });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(frame) = self.open.pop() {
                    let value = match frame.inside {
                        Inside::List(items) => Value::List(items),
                        Inside::Map { entries, .. } => Value::Map(entries),
                    };
                    return self.add(frame.anchor, Node::new(frame.pos, value));
                }
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(fault(pos, "this alias refers to the value it stands in".to_owned()));
                };
                return self.attach(node, pos);
            }
            _ => {}
        }
        Ok(())
    }

    /// What a value comes to that refers to the environment; a fault is noted, and the rest is read.
    fn resolved(&mut self, text: &str, pos: Pos, lookup: Lookup<'_>) -> Option<(String, Written)> {
        let is_key =
            self.open.last().is_some_and(|frame| matches!(frame.inside, Inside::Map { key: None, .. }));
        if is_key {
            return None;
        }
        resolve(text, lookup).unwrap_or_else(|message| {
            if self.faults.len() < MOST_FAULTS {
                let path = self.path();
                self.faults.push(Fault { pos, path, message });
            }
            None
        })
    }

    /// Where the next value belongs.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.open {
            match &frame.inside {
                Inside::List(items) => super::push_index(&mut path, items.len()),
                // The innermost has no key any more where a key is told of.
                Inside::Map { key, .. } => {
                    super::push_key(&mut path, key.as_ref().map_or("", |(key, _)| key));
                }
            }
        }
        path
    }

    fn add(&mut self, anchor: usize, node: Node) -> Result<(), Fault> {
        let (pos, node) = (node.pos, Arc::new(node));
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.attach(node, pos)
    }

    /// Puts a whole value, which stands at `pos`, into what is open.
    fn attach(&mut self, node: Arc<Node>, pos: Pos) -> Result<(), Fault> {
        if node.size > MAX_NODES {
            let message = format!(
                "the document unfolds to more than {MAX_NODES} values; make it smaller, or use fewer aliases"
            );
            return Err(fault(pos, message));
        }
        if node.height > MAX_DEPTH {
            return Err(fault(pos, format!("lists and mappings are nested deeper than {MAX_DEPTH} here")));
        }
        match self.open.last_mut().map(|frame| &mut frame.inside) {
            None => self.root = Some(node),
            Some(Inside::List(items)) => items.push(node),
            Some(Inside::Map { entries, lines, key }) => match key.take() {
                None => *key = Some((key_text(&node, pos)?, pos)),
                Some((name, at)) => {
                    if let Some(&first) = lines.get(&name) {
                        self.given_twice(&name, at, first);
                    } else {
                        lines.insert(name.clone(), at.line);
                        entries.push(Entry { key: name, key_pos: at, value: node });
                    }
                }
            },
        }
        Ok(())
    }

    fn given_twice(&mut self, key: &str, pos: Pos, first: usize) {
        let mut path = self.path();
        super::push_key(&mut path, key);
        if self.faults.len() >= MOST_FAULTS {
            return;
        }
        let message =
            format!("the key `{}` is given twice, first on line {first}; remove one", shortened(key));
        self.faults.push(Fault { pos, path, message });
    }
}

fn key_text(node: &Node, pos: Pos) -> Result<String, Fault> {
    match &node.value {
        Value::Scalar(scalar) if scalar.text == "<<" && scalar.kind == super::Kind::Text => {
            Err(fault(pos, "merge keys (`<<`) are not supported; write the keys out".to_owned()))
        }
        Value::Scalar(scalar) => Ok(scalar.text.clone()),
        _ => Err(fault(pos, format!("a key is one word, and here it is {}", node.describe()))),
    }
}

/// Whether a tag asks for text; any tag but those of the core schema is a fault.
fn tagged(tag: Option<&Tag>, pos: Pos) -> Result<bool, Fault> {
    match tag {
        None => Ok(false),
        Some(tag) if tag.is_yaml_core_schema() => Ok(tag.is_yaml_core_schema_tag("str")),
        Some(tag) if tag.handle().is_empty() && tag.suffix() == "!" => Ok(true),
        Some(tag) => {
            let name = shortened(&format!("{}{}", tag.handle(), tag.suffix()));
            Err(fault(pos, format!("the tag `{name}` means nothing here; remove it")))
        }
    }
}

fn is_null(node: &Node) -> bool {
    matches!(&node.value, Value::Scalar(scalar) if scalar.kind == super::Kind::Null)
}

fn pos(mark: &Marker) -> Pos {
    Pos { line: mark.line(), column: mark.col() + 1 }
}

fn fault(pos: Pos, message: String) -> Fault {
    Fault { pos, path: String::new(), message }
}

/// Words the parser's error; a tab in the indentation, the commonest slip, by its own name.
fn syntax(text: &str, error: &ScanError) -> Fault {
    let at = pos(error.marker());
    // The parser may stop at the end of the line before.
    let near = text.lines().zip(1..).skip(at.line.saturating_sub(1)).take(2);
    for (line, number) in near {
        let indentation = &line[..line.len() - line.trim_start().len()];
        if let Some(tab) = indentation.chars().position(|c| c == '\t') {
            let message = "the line is indented by a tab; YAML is indented by spaces";
            return fault(Pos { line: number, column: tab + 1 }, message.to_owned());
        }
    }
    fault(at, format!("this is not YAML: {}", error.info()))
}
