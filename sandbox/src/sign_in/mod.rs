//! Plays the browser between the two clouds: a real SAML response, signed by Entra's side and judged by AWS's side.

mod response;
#[cfg(test)]
mod tests;
mod verify;
