//! What does not: each class has its own words.
