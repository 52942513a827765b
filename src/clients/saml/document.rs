//! A small, strict XML reader for metadata: no document type, no entities of its own, everything bounded.

use quick_xml::XmlVersion;
use quick_xml::errors::Error;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use quick_xml::reader::NsReader;

use super::MetadataError;

const METADATA: &str = "urn:oasis:names:tc:SAML:2.0:metadata";
const SIGNATURE: &str = "http://www.w3.org/2000/09/xmldsig#";
const MAX_DEPTH: usize = 64;
const MAX_ELEMENTS: usize = 20_000;
const MAX_ATTRIBUTES: usize = 64;

/// The namespaces that metadata is read by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vocabulary {
    Metadata,
    Signature,
    Other,
}

/// One element with what is in it.
#[derive(Debug)]
pub(super) struct Element {
    vocabulary: Vocabulary,
    name: String,
    attributes: Vec<(String, String)>,
    children: Vec<Self>,
    text: String,
}

impl Element {
    /// The name without prefix.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is(&self, vocabulary: Vocabulary, name: &str) -> bool {
        self.vocabulary == vocabulary && self.name == name
    }

    /// The value of an attribute without prefix.
    pub(super) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The children of that name.
    pub(super) fn children(&self, vocabulary: Vocabulary, name: &str) -> impl Iterator<Item = &Self> {
        self.children.iter().filter(move |child| child.is(vocabulary, name))
    }

    /// The text directly in it.
    pub(super) fn text(&self) -> &str {
        &self.text
    }
}

/// Reads a document of at most `limit` bytes.
pub(super) fn read(xml: &str, limit: usize) -> Result<Element, MetadataError> {
    if xml.len() > limit {
        return Err(MetadataError::TooLong { limit });
    }
    let xml = xml.trim_start_matches('\u{feff}').trim();
    if xml.is_empty() {
        return Err(MetadataError::Empty);
    }
    let mut reader = NsReader::from_str(xml);
    let mut open: Vec<Element> = Vec::new();
    let mut root = None;
    let mut elements = 0;
    loop {
        let at = reader.buffer_position();
        let broken = |_| MetadataError::NotXml { at };
        let (namespace, event) = reader.read_resolved_event().map_err(|error| match error {
            Error::Syntax(_) | Error::IllFormed(_) | Error::Io(_) if at_end(xml, at) => MetadataError::CutOff,
            _ => MetadataError::NotXml { at },
        })?;
        match event {
            Event::Start(_) | Event::Empty(_) if root.is_some() => return Err(MetadataError::NotXml { at }),
            Event::Start(ref tag) | Event::Empty(ref tag) => {
                elements += 1;
                if open.len() >= MAX_DEPTH || elements > MAX_ELEMENTS {
                    return Err(MetadataError::TooComplex);
                }
                let element = element(&namespace, tag, at)?;
                if matches!(event, Event::Empty(_)) {
                    close(element, &mut open, &mut root);
                } else {
                    open.push(element);
                }
            }
            Event::End(_) => {
                let element = open.pop().ok_or(MetadataError::NotXml { at })?;
                close(element, &mut open, &mut root);
            }
            Event::Text(text) => add(&text.xml10_content(), &mut open, at)?,
            Event::CData(text) => add(&text.xml10_content(), &mut open, at)?,
            Event::GeneralRef(reference) => {
                add(predefined(&reference, at)?.encode_utf8(&mut [0; 4]), &mut open, at)?
            }
            Event::DocType(_) => return Err(MetadataError::DocumentType),
            Event::Decl(declaration) => {
                let encoding = declaration.encoding().transpose().map_err(broken)?;
                if encoding.is_some_and(|name| !name.eq_ignore_ascii_case("utf-8")) {
                    return Err(MetadataError::Encoding);
                }
            }
            Event::Comment(_) | Event::PI(_) => {}
            Event::Eof if !open.is_empty() => return Err(MetadataError::CutOff),
            Event::Eof => return root.ok_or(MetadataError::NotXml { at }),
        }
    }
}

/// Whether what could not be read begins an element that the document does not end.
fn at_end(xml: &str, at: u64) -> bool {
    let rest = usize::try_from(at).ok().and_then(|at| xml.get(at..)).unwrap_or_default();
    rest.starts_with('<') && !rest.contains('>')
}

fn element(namespace: &ResolveResult<'_>, tag: &BytesStart<'_>, at: u64) -> Result<Element, MetadataError> {
    let vocabulary = match namespace {
        ResolveResult::Bound(Namespace(METADATA)) => Vocabulary::Metadata,
        ResolveResult::Bound(Namespace(SIGNATURE)) => Vocabulary::Signature,
        ResolveResult::Unknown(_) => return Err(MetadataError::NotXml { at }),
        _ => Vocabulary::Other,
    };
    let mut attributes: Vec<(String, String)> = Vec::new();
    for (count, attribute) in tag.attributes().with_checks(false).enumerate() {
        if count >= MAX_ATTRIBUTES {
            return Err(MetadataError::TooComplex);
        }
        let attribute = attribute.map_err(|_| MetadataError::NotXml { at })?;
        let name = attribute.key.as_ref().to_owned();
        if attributes.iter().any(|(known, _)| *known == name) {
            return Err(MetadataError::NotXml { at });
        }
        // Knows the five predefined entities and character references only.
        let value = attribute.normalized_value(XmlVersion::Explicit1_0).map_err(|_| MetadataError::Entity)?;
        attributes.push((name, value.into_owned()));
    }
    let name = tag.local_name().as_ref().to_owned();
    Ok(Element { vocabulary, name, attributes, children: Vec::new(), text: String::new() })
}

fn close(element: Element, open: &mut [Element], root: &mut Option<Element>) {
    match open.last_mut() {
        Some(parent) => parent.children.push(element),
        None => *root = Some(element),
    }
}

fn add(text: &str, open: &mut [Element], at: u64) -> Result<(), MetadataError> {
    match open.last_mut() {
        Some(element) => element.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err(MetadataError::NotXml { at }),
    }
    Ok(())
}

fn predefined(reference: &BytesRef<'_>, at: u64) -> Result<char, MetadataError> {
    if let Some(char) = reference.resolve_char_ref().map_err(|_| MetadataError::NotXml { at })? {
        return Ok(char);
    }
    Ok(match reference.xml10_content().as_ref() {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        _ => return Err(MetadataError::Entity),
    })
}
