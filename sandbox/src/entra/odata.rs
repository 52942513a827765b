//! The query options of Graph as far as the directory honours them: `$filter`, `$select`, paging.

use std::collections::BTreeMap;

use serde_json::Value;

use super::errors::GraphError;
use super::state::Fields;

/// Query options by name, without the `$`.
#[derive(Debug, Clone, Default)]
pub(super) struct Query {
    options: BTreeMap<String, String>,
    /// The options as they came, for next links.
    raw: Vec<(String, String)>,
    /// The next page is this page, by an injected fault: also for everybody who follows that link.
    pub(super) looping: bool,
}

/// In front of the skip token of a page that leads back to itself.
const LOOP: &str = "loop:";

const KNOWN: [&str; 9] =
    ["filter", "select", "top", "skip", "skiptoken", "count", "orderby", "search", "expand"];

impl Query {
    /// Reads a query string. Options that OData does not know are refused, custom ones are not looked at.
    pub(super) fn parse(raw: &str) -> Result<Self, GraphError> {
        let raw: Vec<(String, String)> = url::form_urlencoded::parse(raw.as_bytes()).into_owned().collect();
        let mut options = BTreeMap::new();
        let mut looping = false;
        for (name, value) in &raw {
            let bare = name.strip_prefix('$').unwrap_or(name).to_ascii_lowercase();
            if let Some(token) = value.strip_prefix(LOOP).filter(|_| bare == "skiptoken") {
                looping = true;
                options.extend((!token.is_empty()).then(|| (bare, token.to_owned())));
            } else if KNOWN.contains(&bare.as_str()) {
                options.insert(bare, value.clone());
            } else if name.starts_with('$') && bare != "format" {
                let text = format!("The query parameter '{name}' is not supported.");
                return Err(GraphError::new(400, "BadRequest", text));
            }
        }
        Ok(Self { options, raw, looping })
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.options.get(name).map(String::as_str)
    }

    /// Whether `$count=true` was asked for.
    pub(super) fn counts(&self) -> bool {
        self.get("count") == Some("true")
    }

    /// Refuses the options that this collection has no support for.
    pub(super) fn allow(&self, allowed: &[&str]) -> Result<(), GraphError> {
        match self.options.keys().find(|k| !allowed.contains(&k.as_str())) {
            Some(option) => Err(GraphError::unsupported_query(format!(
                "Unsupported Query. Option '${option}' is not supported."
            ))),
            None => Ok(()),
        }
    }

    /// The query of this very page.
    pub(super) fn again(&self) -> String {
        self.next(&format!("{LOOP}{}", self.get("skiptoken").unwrap_or_default()))
    }

    /// The query of the next page.
    fn next(&self, token: &str) -> String {
        let mut out = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in self.raw.iter().filter(|(n, _)| !n.ends_with("skiptoken")) {
            out.append_pair(name, value);
        }
        out.append_pair("$skiptoken", token);
        out.finish()
    }

    /// `$top`, within 1 to `max`.
    fn size(&self, default: usize, max: usize) -> Result<usize, GraphError> {
        match self.get("top").map(str::parse::<usize>) {
            None => Ok(default),
            Some(Ok(n)) if (1..=max).contains(&n) => Ok(n),
            Some(_) => {
                let top = self.get("top").unwrap_or_default();
                Err(GraphError::unsupported_query(format!(
                    "Invalid page size specified: '{top}'. Must be between 1 and {max} inclusive."
                )))
            }
        }
    }
}

/// One page: its items, and the query string of the next one.
pub(super) struct Page<T> {
    pub(super) items: Vec<T>,
    pub(super) next: Option<String>,
    /// `@odata.count`, on page one only (4.3).
    pub(super) count: Option<usize>,
}

/// Cuts one page out of `all`, which is sorted by its keys. The skip token names the last key seen, so that
/// pages stay right when objects come and go in between.
pub(super) fn page<T>(
    query: &Query,
    all: Vec<(String, T)>,
    default: usize,
    max: usize,
) -> Result<Page<T>, GraphError> {
    use base64::Engine as _;
    let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let size = query.size(default, max)?;
    let from = match query.get("skiptoken") {
        None => None,
        Some(token) => {
            let key = engine.decode(token).ok().and_then(|b| String::from_utf8(b).ok());
            let key = key.and_then(|k| k.strip_prefix("after:").map(str::to_owned));
            Some(key.ok_or_else(|| {
                GraphError::new(
                    400,
                    "Directory_ExpiredPageToken",
                    "The specified page token value has expired.",
                )
            })?)
        }
    };
    let count = (query.counts() && from.is_none()).then_some(all.len());
    let mut rest: Vec<(String, T)> =
        all.into_iter().filter(|(key, _)| from.as_ref().is_none_or(|f| key > f)).collect();
    let next = (rest.len() > size).then(|| {
        let last = &rest[size - 1].0;
        query.next(&engine.encode(format!("after:{last}")))
    });
    rest.truncate(size);
    Ok(Page { items: rest.into_iter().map(|(_, item)| item).collect(), next, count })
}

/// A `$filter` expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    /// `path op literal`, or `function(path,'literal')` with the function as operator.
    Compare {
        path: String,
        op: Op,
        value: Value,
    },
    /// `path/any(x:x eq 'literal')`.
    Any {
        path: String,
        value: Value,
    },
}

/// What a comparison does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Op {
    Eq,
    Ne,
    StartsWith,
    EndsWith,
    Contains,
}

impl Filter {
    /// Parses an expression.
    pub(super) fn parse(text: &str) -> Result<Self, GraphError> {
        let mut parser = Parser { rest: text.trim() };
        let filter = parser.or()?;
        if parser.rest.is_empty() { Ok(filter) } else { Err(parser.wrong()) }
    }

    /// Every comparison in it: path, operator (none for `any`), and whether it is negated.
    pub(super) fn leaves(&self) -> Vec<(&str, Option<Op>)> {
        match self {
            Self::And(a, b) | Self::Or(a, b) => [a.leaves(), b.leaves()].concat(),
            Self::Not(inner) => inner.leaves(),
            Self::Compare { path, op, .. } => vec![(path, Some(*op))],
            Self::Any { path, .. } => vec![(path, None)],
        }
    }

    /// Whether it needs the advanced query index (`ConsistencyLevel: eventual` and `$count=true`) (4.3).
    pub(super) fn advanced(&self) -> bool {
        match self {
            Self::And(a, b) | Self::Or(a, b) => a.advanced() || b.advanced(),
            Self::Not(_) => true,
            Self::Compare { op, .. } => matches!(op, Op::Ne | Op::EndsWith),
            Self::Any { .. } => false,
        }
    }

    /// Whether an object passes. Texts are compared without regard to case, as the directory does.
    pub(super) fn matches(&self, fields: &Fields) -> bool {
        match self {
            Self::And(a, b) => a.matches(fields) && b.matches(fields),
            Self::Or(a, b) => a.matches(fields) || b.matches(fields),
            Self::Not(inner) => !inner.matches(fields),
            Self::Any { path, value } => at(fields, path)
                .and_then(Value::as_array)
                .is_some_and(|all| all.iter().any(|v| same(v, value))),
            Self::Compare { path, op, value } => {
                let found = at(fields, path).unwrap_or(&Value::Null);
                let texts = || {
                    let lower = |v: &Value| v.as_str().map(str::to_lowercase);
                    Some((lower(found)?, lower(value)?))
                };
                match op {
                    Op::Eq => same(found, value),
                    Op::Ne => !same(found, value),
                    Op::StartsWith => texts().is_some_and(|(f, v)| f.starts_with(&v)),
                    Op::EndsWith => texts().is_some_and(|(f, v)| f.ends_with(&v)),
                    Op::Contains => texts().is_some_and(|(f, v)| f.contains(&v)),
                }
            }
        }
    }
}

fn at<'a>(fields: &'a Fields, path: &str) -> Option<&'a Value> {
    let mut parts = path.split('/');
    let mut value = fields.get(parts.next()?)?;
    for part in parts {
        value = value.get(part)?;
    }
    Some(value)
}

fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::String(a), Value::String(b)) => a.to_lowercase() == b.to_lowercase(),
        _ => a == b,
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn wrong(&self) -> GraphError {
        GraphError::new(400, "BadRequest", "Invalid filter clause")
    }

    fn or(&mut self) -> Result<Filter, GraphError> {
        let mut left = self.and()?;
        while self.word("or") {
            left = Filter::Or(left.into(), self.and()?.into());
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Filter, GraphError> {
        let mut left = self.term()?;
        while self.word("and") {
            left = Filter::And(left.into(), self.term()?.into());
        }
        Ok(left)
    }

    fn term(&mut self) -> Result<Filter, GraphError> {
        if self.word("not") {
            return Ok(Filter::Not(self.term()?.into()));
        }
        if self.symbol('(') {
            let inner = self.or()?;
            return if self.symbol(')') { Ok(inner) } else { Err(self.wrong()) };
        }
        let name = self.path()?;
        let function = match name {
            "startswith" | "startsWith" => Some(Op::StartsWith),
            "endswith" | "endsWith" => Some(Op::EndsWith),
            "contains" => Some(Op::Contains),
            _ => None,
        };
        if let Some(op) = function {
            self.need('(')?;
            let path = self.path()?.to_owned();
            self.need(',')?;
            let value = self.literal()?;
            self.need(')')?;
            return Ok(Filter::Compare { path, op, value });
        }
        if let Some(path) = name.strip_suffix("/any") {
            self.need('(')?;
            let variable = self.path()?;
            self.need(':')?;
            if self.path()? != variable || !self.word("eq") {
                return Err(self.wrong());
            }
            let value = self.literal()?;
            self.need(')')?;
            return Ok(Filter::Any { path: path.to_owned(), value });
        }
        let path = name.to_owned();
        if self.word("in") {
            self.need('(')?;
            let mut filter = None;
            loop {
                let one = Filter::Compare { path: path.clone(), op: Op::Eq, value: self.literal()? };
                filter = Some(match filter {
                    None => one,
                    Some(others) => Filter::Or(Box::new(others), one.into()),
                });
                if !self.symbol(',') {
                    break;
                }
            }
            self.need(')')?;
            return filter.ok_or_else(|| self.wrong());
        }
        let op = if self.word("eq") {
            Op::Eq
        } else if self.word("ne") {
            Op::Ne
        } else {
            return Err(self.wrong());
        };
        Ok(Filter::Compare { path, op, value: self.literal()? })
    }

    /// A property path.
    fn path(&mut self) -> Result<&'a str, GraphError> {
        self.skip();
        let end = self
            .rest
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '.' | '@')))
            .unwrap_or(self.rest.len());
        if end == 0 {
            return Err(self.wrong());
        }
        let (path, rest) = self.rest.split_at(end);
        self.rest = rest;
        Ok(path)
    }

    /// A quoted text (quotes doubled inside), a GUID or number as it stands, or `true`, `false`, `null`.
    fn literal(&mut self) -> Result<Value, GraphError> {
        self.skip();
        if let Some(mut rest) = self.rest.strip_prefix('\'') {
            let mut text = String::new();
            loop {
                let end = rest.find('\'').ok_or_else(|| self.wrong())?;
                text.push_str(&rest[..end]);
                rest = &rest[end + 1..];
                match rest.strip_prefix('\'') {
                    Some(more) => {
                        text.push('\'');
                        rest = more;
                    }
                    None => break,
                }
            }
            self.rest = rest;
            return Ok(Value::String(text));
        }
        let end = self.rest.find([')', ',', ' ']).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        match word {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "null" => Ok(Value::Null),
            _ if uuid::Uuid::try_parse(word).is_ok() => Ok(Value::String(word.to_owned())),
            _ => word.parse::<i64>().map(Value::from).map_err(|_| self.wrong()),
        }
    }

    fn skip(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn symbol(&mut self, symbol: char) -> bool {
        self.skip();
        let found = self.rest.strip_prefix(symbol);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn need(&mut self, symbol: char) -> Result<(), GraphError> {
        if self.symbol(symbol) { Ok(()) } else { Err(self.wrong()) }
    }

    /// A keyword that ends at a word boundary.
    fn word(&mut self, word: &str) -> bool {
        self.skip();
        match self.rest.strip_prefix(word) {
            Some(rest) if rest.starts_with([' ', '(', '\'']) => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }
}
