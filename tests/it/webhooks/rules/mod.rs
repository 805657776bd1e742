//! The rules P1–P20 of docs/RULES.md, each through real HTTP with bodies as providers send them:
//! what is answered, and what is in the database afterwards. Each test has clients of its own,
//! named after its rule.

mod p01_to_p05;
mod p06_to_p10;
mod p11_to_p13;
mod p14_p15;
mod p16_to_p20;
