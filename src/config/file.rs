// SPDX-License-Identifier: Apache-2.0

//! YAML and JSON files as people write them: whole files of Envoy, Istio or Envoy Gateway, and the plugin configurations in
//! them. Only the desk reads these. A proxy hands over JSON text or a Struct.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::rc::Rc;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span};
use serde_json::Number;

use crate::config::error::{Error, Segment};
use crate::config::source::Source;
use crate::config::text::Text;
use crate::config::tree::{Key, Node, Value};

/// The greatest depth. Files of the field are less deep.
const DEEPEST: usize = 128;

/// The most values of one file. Those that an alias repeats count each time, and so do those that an anchor keeps.
const MOST_VALUES: usize = 1_000_000;

const TOO_MANY: &str = "this file has too many values";

/// The most bytes of texts and keys that aliases repeat and anchors keep, in one file: four times as many as the largest file.
const MOST_REPEATED: usize = 64 * 1024 * 1024;

/// One document of a file, with the place of each value.
#[derive(Debug)]
pub struct Document {
    file: Rc<str>,
    text: Rc<Text>,
    root: Node,
    /// Texts that stand in the file as they are: the byte at which each begins, and its bytes, quotes included.
    verbatim: BTreeMap<usize, Range<usize>>,
}

/// One value of a document.
#[derive(Clone, Copy, Debug)]
pub struct Place<'d> {
    document: &'d Document,
    node: &'d Node,
    /// The place of its key, or of the value itself if it has none.
    offset: Option<usize>,
}

impl Document {
    /// Every document of a YAML or JSON text. In YAML `---` separates them. `file` is the name of the file.
    ///
    /// # Errors
    /// A mistake if it is neither, if a key stands twice in a map, or if it is too large or too deep.
    pub fn read(file: &str, text: &str) -> Result<Vec<Self>, Error> {
        let (file, text) = (Rc::from(file), Rc::new(Text::new(text.to_owned())));
        match Node::from_json(text.as_str()) {
            Ok(root) => return Ok(vec![Self { file, text, root, verbatim: BTreeMap::new() }]),
            Err(error) if file.ends_with(".json") => return Err(error.located_in(Some(&text))),
            Err(_) => {}
        }
        Reader::new(&file, &text).documents().map_err(|error| error.located_in(Some(&text)))
    }

    /// The whole document.
    #[must_use]
    pub fn root(&self) -> Place<'_> {
        Place { document: self, node: &self.root, offset: self.root.offset }
    }
}

impl<'d> Place<'d> {
    /// The value of a key. `None` if this is no map or has no such key.
    #[must_use]
    pub fn get(self, name: &str) -> Option<Self> {
        self.entries().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// The value under several keys of protobuf messages, which may be written in `snake_case` or in `camelCase`.
    #[must_use]
    pub fn at(self, path: &[&str]) -> Option<Self> {
        path.iter().try_fold(self, |place, name| place.get(name).or_else(|| place.get(&camel_case(name))))
    }

    /// The items of the list under these keys; none if there is no list.
    pub fn list(self, path: &[&str]) -> impl Iterator<Item = Self> {
        self.at(path).into_iter().flat_map(Self::items)
    }

    /// The text under these keys.
    #[must_use]
    pub fn text_at(self, path: &[&str]) -> Option<&'d str> {
        self.at(path).and_then(Self::text)
    }

    /// The boolean under these keys; `false` if there is none.
    #[must_use]
    pub fn is_true_at(self, path: &[&str]) -> bool {
        self.at(path).is_some_and(|place| matches!(place.node.value, Value::Bool(true)))
    }

    /// The number under these keys, as it is written in decimal.
    #[must_use]
    pub fn number_at(self, path: &[&str]) -> Option<String> {
        match &self.at(path)?.node.value {
            Value::Number(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// Whether `false` stands there.
    #[must_use]
    pub fn is_false_at(self, path: &[&str]) -> bool {
        self.at(path).is_some_and(|place| matches!(place.node.value, Value::Bool(false)))
    }

    /// Whether both are the same value of the same document.
    #[must_use]
    pub fn is(self, other: Self) -> bool {
        std::ptr::eq(self.node, other.node)
    }

    /// The entries of a map; none of anything else.
    pub fn entries(self) -> impl Iterator<Item = (&'d str, Self)> {
        let entries: &[(Key, Node)] = match &self.node.value {
            Value::Map(entries) => entries,
            _ => &[],
        };
        let place = move |(key, node): &'d (Key, Node)| {
            (key.name.as_str(), Self { document: self.document, node, offset: key.offset })
        };
        entries.iter().map(place)
    }

    /// The items of a list; none of anything else.
    pub fn items(self) -> impl Iterator<Item = Self> {
        let items: &[Node] = match &self.node.value {
            Value::List(items) => items,
            _ => &[],
        };
        items.iter().map(move |node| Self { document: self.document, node, offset: node.offset })
    }

    /// A text.
    #[must_use]
    pub fn text(self) -> Option<&'d str> {
        match &self.node.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is a map.
    #[must_use]
    pub fn is_map(self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// This value and every one in it, outermost first.
    #[must_use]
    pub fn everything(self) -> Vec<Self> {
        let mut found = vec![self];
        let mut next = 0;
        while let Some(place) = found.get(next).copied() {
            found.extend(place.entries().map(|(_, value)| value));
            found.extend(place.items());
            next = next.saturating_add(1);
        }
        found
    }

    /// The whole document that contains it.
    #[must_use]
    pub fn root(self) -> Self {
        self.document.root()
    }

    /// The file that contains it.
    #[must_use]
    pub fn file(self) -> &'d str {
        &self.document.file
    }

    /// The same in a form that can be kept.
    pub(crate) fn shared_file(self) -> Rc<str> {
        Rc::clone(&self.document.file)
    }

    /// An identity that no other value of any document has.
    pub(crate) fn identity(self) -> usize {
        std::ptr::from_ref(self.node).addr()
    }

    /// Line and column, from 1, of its key, or of the value itself if it has none.
    #[must_use]
    pub fn position(self) -> (usize, usize) {
        self.offset.and_then(|offset| self.document.text.position(offset)).unwrap_or((1, 1))
    }

    /// This value as a plugin configuration: a map, or a text that is JSON. Places of mistakes are those in the whole file.
    ///
    /// # Errors
    /// A mistake if the text is not JSON.
    pub fn source(self) -> Result<Source, Error> {
        let text = || Rc::clone(&self.document.text);
        let Value::String(json) = &self.node.value else {
            return Ok(Source::of_tree(self.node.clone(), text()));
        };
        let whole = self.document.text.as_str();
        let start = self.node.offset.unwrap_or_default();
        let verbatim = self.document.verbatim.get(&start);
        match verbatim.and_then(|range| Some((range.start, whole.get(range.clone())?))) {
            Some((begin, piece)) => {
                let root = Node::from_json_in(piece, whole);
                let located = |error: Error| error.moved(piece, begin).located_in(Some(&self.document.text));
                Ok(Source::of_tree(root.map_err(located)?, text()))
            }
            // In quotes its characters may be written in other ways, so only the beginning of the text is known.
            None => match Node::from_json(json) {
                Ok(root) => Ok(Source::of_tree(root.placed(start), text())),
                Err(error) => Err(error.placed(start).located_in(Some(&self.document.text))),
            },
        }
    }
}

/// Makes trees of the parser's events.
struct Reader<'t> {
    file: &'t Rc<str>,
    whole: &'t Rc<Text>,
    text: &'t str,
    parser: Parser<'t, saphyr_parser::StrInput<'t>>,
    /// The byte at which each character begins. It is empty if bytes and characters are the same.
    bytes: Option<Vec<usize>>,
    anchors: BTreeMap<usize, Rc<Node>>,
    verbatim: BTreeMap<usize, Range<usize>>,
    values: usize,
    repeated: usize,
}

impl<'t> Reader<'t> {
    fn new(file: &'t Rc<str>, whole: &'t Rc<Text>) -> Self {
        let text = whole.as_str();
        let bytes = (!text.is_ascii()).then(|| text.char_indices().map(|(byte, _)| byte).collect());
        let (anchors, verbatim) = (BTreeMap::new(), BTreeMap::new());
        Self { file, whole, text, parser: Parser::new_from_str(text), bytes, anchors, verbatim, values: 0, repeated: 0 }
    }

    fn documents(mut self) -> Result<Vec<Document>, Error> {
        let mut documents = Vec::new();
        loop {
            match self.next()? {
                (Event::StreamEnd, _) => return Ok(documents),
                (Event::DocumentStart(_), _) => {
                    let (event, span) = self.next()?;
                    let root = self.node(event, span, DEEPEST)?;
                    let verbatim = std::mem::take(&mut self.verbatim);
                    self.anchors.clear();
                    documents.push(Document {
                        file: Rc::clone(self.file),
                        text: Rc::clone(self.whole),
                        root,
                        verbatim,
                    });
                }
                _ => {}
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Error> {
        match self.parser.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => {
                let offset = self.byte(*error.marker());
                Err(Error::new(format!("this is not YAML: {}", error.info())).at(Some(offset)))
            }
            None => Err(Error::new("this is not YAML: it ends too early".to_owned()).at(Some(self.text.len()))),
        }
    }

    fn byte(&self, marker: Marker) -> usize {
        match &self.bytes {
            None => marker.index(),
            Some(bytes) => bytes.get(marker.index()).copied().unwrap_or(self.text.len()),
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Error> {
        let offset = Some(self.byte(span.start));
        let error = |message: &str| Error::new(message.to_owned()).at(offset);
        let wrong = |message: &str| Err(error(message));
        let Some(depth) = depth.checked_sub(1) else { return wrong("this is nested too deeply") };
        self.values = self.values.saturating_add(1);
        if self.values > MOST_VALUES {
            return wrong(TOO_MANY);
        }
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => {
                let is_text = style != ScalarStyle::Plain || tag.is_some();
                self.note_verbatim(&text, style, span);
                (anchor, if is_text { Value::String(text.into_owned()) } else { scalar(&text) })
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => {
                            let within = |error: Error| error.within(Segment::Index(items.len()), offset);
                            let item = self.node(event, span, depth).map_err(within)?;
                            items.push(item);
                        }
                    }
                }
                (anchor, Value::List(items))
            }
            Event::MappingStart(anchor, _) => {
                let mut entries = Vec::new();
                let mut seen = HashSet::new();
                loop {
                    let (name, key) = match self.next()? {
                        (Event::MappingEnd, _) => break,
                        (Event::Scalar(name, ..), key) => (name.into_owned(), Some(self.byte(key.start))),
                        (_, key) => {
                            let key = self.byte(key.start);
                            return Err(Error::new("a key must be a text".to_owned()).at(Some(key)));
                        }
                    };
                    if !seen.insert(name.clone()) {
                        let error = Error::new("duplicate key".to_owned());
                        return Err(error.within(Segment::Key(name), key));
                    }
                    let (event, span) = self.next()?;
                    let within = |error: Error| error.within(Segment::Key(name.clone()), key);
                    let value = self.node(event, span, depth).map_err(within)?;
                    entries.push((Key { name, offset: key }, value));
                }
                (anchor, Value::Map(entries))
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else { return wrong("this alias has no anchor") };
                self.admit_copy(node.size()).map_err(error)?;
                (0, node.value.clone())
            }
            _ => return wrong("this is not YAML: a value is missing"),
        };
        let node = Node { value, offset };
        if anchor != 0 {
            self.admit_copy(node.size()).map_err(error)?;
            self.anchors.insert(anchor, Rc::new(node.clone()));
        }
        Ok(node)
    }

    /// Counts what will be copied: so many values, and so many bytes of text.
    fn admit_copy(&mut self, (values, bytes): (usize, usize)) -> Result<(), &'static str> {
        self.values = self.values.saturating_add(values);
        self.repeated = self.repeated.saturating_add(bytes);
        if self.values > MOST_VALUES {
            Err(TOO_MANY)
        } else if self.repeated > MOST_REPEATED {
            Err("the anchors and aliases of this file repeat too much text")
        } else {
            Ok(())
        }
    }

    /// Remembers where a text ends that stands in the file as it is, apart from white space before its lines.
    fn note_verbatim(&mut self, text: &str, style: ScalarStyle, span: Span) {
        let (start, end) = (self.byte(span.start), self.byte(span.end));
        let quote = usize::from(matches!(style, ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted));
        let inside = start.saturating_add(quote)..end.saturating_sub(quote);
        if style == ScalarStyle::Literal || self.text.get(inside.clone()) == Some(text) {
            self.verbatim.insert(start, inside);
        }
    }
}

fn camel_case(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |mut whole, part| {
        let (initial, rest) = part.split_at_checked(1).unwrap_or((part, ""));
        whole.push_str(&initial.to_ascii_uppercase());
        whole.push_str(rest);
        whole
    })
}

/// What a plain scalar means to Envoy, which reads YAML by yaml-cpp: `yes`, `off` and `n` are booleans too, and a number with a
/// decimal point is a text.
fn scalar(text: &str) -> Value {
    let capitalized = text.chars().skip(1).all(char::is_lowercase) || text.chars().all(char::is_uppercase);
    match text.to_ascii_lowercase().as_str() {
        "" | "~" | "null" => Value::Null,
        "true" | "yes" | "on" | "y" if capitalized => Value::Bool(true),
        "false" | "no" | "off" | "n" if capitalized => Value::Bool(false),
        _ => match text.parse::<i64>() {
            Ok(number) => Value::Number(Number::from(number)),
            Err(_) => Value::String(text.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Document {
        Document::read("x.yaml", text).unwrap().pop().unwrap()
    }

    fn refused(text: &str) -> String {
        Document::read("x.yaml", text).unwrap_err().to_string()
    }

    #[test]
    fn values_mean_what_they_mean_to_envoy() {
        let document = read("[true, Yes, off, n, nO, ~, '', null, 12, -3, 0.5, 1e3, a, '1', !!str 2, [], {}]");
        let values: Vec<_> = document.root().items().map(|place| format!("{:?}", place.node.value)).collect();
        let expected = [
            "Bool(true)",
            "Bool(true)",
            "Bool(false)",
            "Bool(false)",
            "String(\"nO\")",
            "Null",
            "String(\"\")",
            "Null",
            "Number(Number(12))",
            "Number(Number(-3))",
            "String(\"0.5\")",
            "String(\"1e3\")",
            "String(\"a\")",
            "String(\"1\")",
            "String(\"2\")",
            "List([])",
            "Map([])",
        ];
        assert_eq!(values, expected);
    }

    #[test]
    fn a_place_knows_its_line_and_column_in_characters() {
        let document = read("# ü\na:\n  é: { b: [1, {c: d}] }\n");
        let place = document.root().at(&["a", "é", "b"]).unwrap();
        assert_eq!(place.position(), (3, 8));
        assert_eq!(place.items().nth(1).unwrap().get("c").unwrap().position(), (3, 16));
    }

    #[test]
    fn documents_are_separated_and_an_empty_text_has_none() {
        assert_eq!(Document::read("x.yaml", "a: 1\n---\nb: 2\n---\n{\"c\": 3}\n").unwrap().len(), 3);
        assert_eq!(Document::read("x.yaml", "# nothing\n").unwrap().len(), 0);
    }

    #[test]
    fn an_alias_stands_for_what_its_anchor_has() {
        let document = read("a: &x { k: [1, 2] }\nb: *x\n");
        assert_eq!(document.root().at(&["b", "k"]).unwrap().items().count(), 2);
        let bomb: String = (1..12)
            .map(|level| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 10].join(", ")))
            .collect();
        assert!(refused(&format!("a0: &a0 [x]\n{bomb}")).contains("this file has too many values"));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_line_and_column() {
        for (text, expected) in [
            ("a: 1\nb: 2\na: 3\n", "a: duplicate key (line 3, column 1)"),
            ("x:\n  a: 1\n  \"a\": 3\n", "x.a: duplicate key (line 3, column 3)"),
            ("{a: 1, a: 2}", "a: duplicate key (line 1, column 8)"),
            ("{\"a\": 1, \"a\": 2}", "a: duplicate key (line 1, column 10)"),
            ("[a]: 1\n", "a key must be a text (line 1, column 1)"),
        ] {
            assert_eq!(refused(text), expected, "{text}");
        }
        for text in ["a: [1\n", "a: 'b\n", "a: *b\n", "a: 1\n b: 2\n"] {
            assert!(refused(text).contains("this is not YAML: "), "{text} {}", refused(text));
        }
        let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
        assert!(refused(&deep).contains("this is nested too deeply"), "{}", refused(&deep));
    }

    #[test]
    fn json_in_a_text_is_placed_in_the_whole_file() {
        let wrong = |text: &str| {
            let document = read(text);
            let source = document.root().get("value").unwrap().source();
            let error = source.and_then(|source| source.parse::<BTreeMap<String, u64>>());
            error.unwrap_err().position().unwrap()
        };
        assert_eq!(wrong("# é\nvalue: |\n  {\n    \"a\": true\n  }\n"), (4, 10));
        assert_eq!(wrong("value: |\n  {\n    \"a\": ,\n  }\n"), (3, 10));
        assert_eq!(wrong("value: '{\"a\": true}'\n"), (1, 15));
        assert_eq!(wrong("value: {\"a\": true}\n"), (1, 14));
        assert_eq!(wrong("value: \"{\\\"a\\\": true}\"\n"), (1, 8));
        assert_eq!(wrong("value: \"{\\\"a\\\": ,}\"\n"), (1, 8));
    }
}
