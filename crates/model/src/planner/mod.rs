pub mod hold;
