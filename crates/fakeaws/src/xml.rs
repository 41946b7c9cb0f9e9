//! XML as the APIs answer it.

use std::fmt::Display;

/// A document, or a part of one.
#[derive(Debug, Default)]
pub(crate) struct Xml(String);

impl Xml {
    /// A document whose root has this name and this namespace.
    pub(crate) fn document(root: &str, namespace: &str, inner: impl FnOnce(&mut Self)) -> String {
        let mut xml = Self("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned());
        let attribute = if namespace.is_empty() { String::new() } else { format!(" xmlns=\"{namespace}\"") };
        xml.0.push_str(&format!("<{root}{attribute}>"));
        inner(&mut xml);
        xml.0.push_str(&format!("</{root}>"));
        xml.0
    }

    /// An element with others in it.
    pub(crate) fn node(&mut self, name: &str, inner: impl FnOnce(&mut Self)) {
        self.0.push_str(&format!("<{name}>"));
        inner(self);
        self.0.push_str(&format!("</{name}>"));
    }

    /// An element with text in it.
    pub(crate) fn leaf(&mut self, name: &str, text: impl Display) {
        let text = text.to_string().replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        self.node(name, |xml| xml.0.push_str(&text.replace('"', "&quot;")));
    }

    /// An element with text in it, where there is text.
    pub(crate) fn maybe(&mut self, name: &str, text: Option<impl Display>) {
        if let Some(text) = text {
            self.leaf(name, text);
        }
    }

    /// A list: an element for each of the items, in one for all.
    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        item: &str,
        items: impl IntoIterator<Item = T>,
        mut inner: impl FnMut(&mut Self, T),
    ) {
        self.node(name, |xml| {
            for each in items {
                xml.node(item, |xml| inner(xml, each));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped_and_what_is_not_there_leaves_nothing() {
        let document = Xml::document("A", "urn:x", |xml| {
            xml.leaf("B", "1 < 2 & \"3\"");
            xml.maybe("C", None::<u8>);
            xml.list("D", "item", [1, 2], |xml, number| xml.leaf("N", number));
        });
        let expected = "<A xmlns=\"urn:x\"><B>1 &lt; 2 &amp; &quot;3&quot;</B><D><item><N>1</N></item><item><N>2</N></item></D></A>";
        assert_eq!(document.lines().nth(1), Some(expected));
    }
}
