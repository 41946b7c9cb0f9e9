//! What works: fetched, there already, checked, mended, pinned, collected.
