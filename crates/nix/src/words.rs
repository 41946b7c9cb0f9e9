//! Lists and bytes as people read them.

/// The items one after the other.
pub(crate) fn list(items: &[String]) -> String {
    items.join(", ")
}

/// Bytes as people read them.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut shown = format!("{bytes} bytes");
    for unit in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        shown = format!("{value:.1} {unit}");
    }
    shown
}
