//! Reads the tags of an HTML page: enough for pages that programs wrote, and no parser of HTML.

/// A start tag.
pub struct Tag {
    /// The name, in lower case.
    pub name: String,
    attributes: Vec<(String, String)>,
}

impl Tag {
    /// Returns the value of an attribute.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Returns all start tags, but for those within comments and scripts.
pub fn tags(html: &str) -> Vec<Tag> {
    let mut tags = Vec::new();
    let mut rest = html;
    while let Some(start) = rest.find('<') {
        rest = &rest[start + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
        } else if rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            let end = rest.find(|c: char| c.is_whitespace() || c == '>' || c == '/').unwrap_or(rest.len());
            let name = rest[..end].to_lowercase();
            let (attributes, after) = attributes(&rest[end..]);
            rest = after;
            if name == "script" || name == "style" {
                rest = rest.find(&format!("</{name}")).map_or("", |end| &rest[end..]);
            }
            tags.push(Tag { name, attributes });
        }
    }
    tags
}

/// Reads attributes up to the end of a tag. Returns what follows, too.
fn attributes(mut rest: &str) -> (Vec<(String, String)>, &str) {
    let mut found = Vec::new();
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '/');
        if let Some(after) = rest.strip_prefix('>') {
            return (found, after);
        }
        let end = rest.find(|c: char| c.is_whitespace() || "=>/".contains(c)).unwrap_or(rest.len());
        if end == 0 {
            return (found, rest);
        }
        let name = rest[..end].to_lowercase();
        rest = rest[end..].trim_start();
        let value = match rest.strip_prefix('=') {
            None => String::new(),
            Some(after) => {
                let after = after.trim_start();
                let quote = after.chars().next().filter(|c| "\"'".contains(*c));
                let (value, left) = match quote {
                    Some(quote) => after[1..].split_once(quote).unwrap_or((&after[1..], "")),
                    None => after.split_at(after.find([' ', '\n', '>']).unwrap_or(after.len())),
                };
                rest = left;
                value.replace("&quot;", "\"").replace("&#39;", "'").replace("&amp;", "&")
            }
        };
        found.push((name, value));
    }
}
