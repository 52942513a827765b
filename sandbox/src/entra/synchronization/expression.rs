//! Attribute mapping expressions (5.8): `[attribute]`, `"constant"`, `Function(argument, …)`.

use serde_json::{Value, json};

use crate::entra::state::Fields;

/// A parsed expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expression {
    Attribute(String),
    Constant(String),
    Call(String, Vec<Self>),
}

/// The functions that are known, with how many arguments they take at least.
const FUNCTIONS: [(&str, usize); 13] = [
    ("Switch", 2),
    ("Not", 1),
    ("Join", 2),
    ("Append", 2),
    ("Coalesce", 1),
    ("ToLower", 1),
    ("ToUpper", 1),
    ("Trim", 1),
    ("StripSpaces", 1),
    ("Mid", 3),
    ("Left", 2),
    ("IIF", 3),
    ("IsNullOrEmpty", 1),
];

impl Expression {
    /// The expression behind a mapping's `source` object: by its `expression`, else by type and name.
    pub(super) fn of_source(source: &Value) -> Result<Self, String> {
        let name = source["name"].as_str().unwrap_or_default();
        let text = source["expression"].as_str().unwrap_or_default();
        match source["type"].as_str() {
            Some("Attribute") if !name.is_empty() => Ok(Self::Attribute(name.to_owned())),
            Some("Constant") => Ok(Self::Constant(name.to_owned())),
            Some("Function") if !text.is_empty() => Self::parse(text),
            Some("Attribute") if !text.is_empty() => Self::parse(text),
            _ => Err("a source needs a type, and a name or an expression".to_owned()),
        }
    }

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut rest = text.trim();
        let parsed = Self::one(&mut rest)?;
        if rest.trim().is_empty() { Ok(parsed) } else { Err(format!("unexpected text '{}'", rest.trim())) }
    }

    fn one(rest: &mut &str) -> Result<Self, String> {
        let text = rest.trim_start();
        if let Some(after) = text.strip_prefix('[') {
            let (name, after) = after.split_once(']').ok_or("a ']' is missing")?;
            *rest = after;
            return Ok(Self::Attribute(name.trim().to_owned()));
        }
        if let Some(after) = text.strip_prefix('"') {
            let (constant, after) = after.split_once('"').ok_or("a '\"' is missing")?;
            *rest = after;
            return Ok(Self::Constant(constant.to_owned()));
        }
        let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
        let (word, after) = text.split_at(end);
        let after = after.trim_start();
        let Some(mut after) = after.strip_prefix('(') else {
            // Numbers, True and False stand without quotes; nothing at all is an empty argument.
            *rest = after;
            return Ok(Self::Constant(word.to_owned()));
        };
        let known = FUNCTIONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word));
        let (name, least) = known.ok_or_else(|| format!("the function '{word}' is not known"))?;
        let mut arguments = Vec::new();
        loop {
            arguments.push(Self::one(&mut after)?);
            after = after.trim_start();
            if let Some(more) = after.strip_prefix(',') {
                after = more;
            } else {
                after = after.strip_prefix(')').ok_or("a ')' is missing")?;
                break;
            }
        }
        if arguments.len() < *least {
            return Err(format!("the function '{name}' needs at least {least} arguments"));
        }
        *rest = after;
        Ok(Self::Call((*name).to_owned(), arguments))
    }

    /// The value for one source object; empty when the source has none.
    pub(super) fn evaluate(&self, source: &Fields) -> String {
        match self {
            Self::Constant(text) => text.clone(),
            Self::Attribute(name) => attribute(source, name),
            Self::Call(name, arguments) => {
                let all: Vec<String> = arguments.iter().map(|a| a.evaluate(source)).collect();
                call(name, &all)
            }
        }
    }

    /// As the schema writes a source (5.8).
    pub(super) fn json(&self) -> Value {
        match self {
            Self::Attribute(name) => {
                json!({ "expression": format!("[{name}]"), "name": name, "type": "Attribute", "parameters": [] })
            }
            Self::Constant(text) => {
                json!({ "expression": format!("\"{text}\""), "name": text, "type": "Constant", "parameters": [] })
            }
            Self::Call(name, arguments) => {
                let parameters: Vec<Value> = arguments
                    .iter()
                    .enumerate()
                    .map(|(at, a)| json!({ "key": if at == 0 { "source" } else { "value" }, "value": a.json() }))
                    .collect();
                json!({ "expression": self.text(), "name": name, "type": "Function", "parameters": parameters })
            }
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Attribute(name) => format!("[{name}]"),
            Self::Constant(text) if text.is_empty() => String::new(),
            Self::Constant(text) => format!("\"{text}\""),
            Self::Call(name, arguments) => {
                format!("{name}({})", arguments.iter().map(Self::text).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

fn attribute(source: &Fields, name: &str) -> String {
    let found = source
        .get(name)
        .or_else(|| source.iter().find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v));
    match found {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Bool(true)) => "True".to_owned(),
        Some(Value::Bool(false)) => "False".to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Array(all)) => all.first().and_then(Value::as_str).unwrap_or_default().to_owned(),
        _ => String::new(),
    }
}

fn call(name: &str, all: &[String]) -> String {
    let arg = |at: usize| all.get(at).map_or("", String::as_str);
    let truth = |text: &str| text.eq_ignore_ascii_case("true") || text == "1";
    let word = |truth: bool| if truth { "True" } else { "False" }.to_owned();
    match name {
        // Switch(source, default, key, value, key, value, …)
        "Switch" => {
            let hit =
                all.get(2..).unwrap_or_default().chunks(2).find(|pair| pair[0].eq_ignore_ascii_case(arg(0)));
            hit.and_then(|pair| pair.get(1)).cloned().unwrap_or_else(|| arg(1).to_owned())
        }
        "Not" => word(!truth(arg(0))),
        "Join" => {
            let parts: Vec<&str> = all[1..].iter().map(String::as_str).filter(|p| !p.is_empty()).collect();
            parts.join(arg(0))
        }
        "Append" => format!("{}{}", arg(0), arg(1)),
        "Coalesce" => all.iter().find(|a| !a.is_empty()).cloned().unwrap_or_default(),
        "ToLower" => arg(0).to_lowercase(),
        "ToUpper" => arg(0).to_uppercase(),
        "Trim" => arg(0).trim().to_owned(),
        "StripSpaces" => arg(0).replace(' ', ""),
        "Mid" => {
            let number = |at: usize| arg(at).parse::<usize>().unwrap_or(0);
            arg(0).chars().skip(number(1).saturating_sub(1)).take(number(2)).collect()
        }
        "Left" => arg(0).chars().take(arg(1).parse().unwrap_or(0)).collect(),
        "IIF" => if truth(arg(0)) { arg(1) } else { arg(2) }.to_owned(),
        "IsNullOrEmpty" => word(arg(0).is_empty()),
        _ => String::new(),
    }
}
