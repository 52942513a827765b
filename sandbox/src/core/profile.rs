use jiff::SignedDuration;

/// A range of durations on the clouds' clock; a call draws one from it.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    /// Shortest.
    pub min: SignedDuration,
    /// Longest.
    pub max: SignedDuration,
}

impl Span {
    const fn ms(min: i64, max: i64) -> Self {
        Self { min: SignedDuration::from_millis(min), max: SignedDuration::from_millis(max) }
    }
}

/// How long the clouds take. All spans run on the clouds' clock.
#[derive(Debug, Clone)]
pub struct Profile {
    /// `realistic` or `fast`.
    pub name: &'static str,
    /// One asynchronous account assignment, creation or deletion.
    pub assignment: Span,
    /// One account of a permission set provisioning.
    pub provisioning: Span,
    /// AWS: a write becomes visible to reads after this.
    pub aws_lag: Span,
    /// Entra: an object just created becomes visible after this (contract 1.2, 8.6).
    pub entra_create_lag: Span,
    /// Entra: a change of an existing object becomes visible after this.
    pub entra_update_lag: Span,
    /// Entra: a fresh service principal answers 401/403/404 on `/synchronization` for this long (5.11).
    pub synchronization_warm_up: Span,
    /// Entra: one provisioning cycle's own duration.
    pub cycle: Span,
    /// Entra: a change of assignment is honoured by provision on demand after this (5.6).
    pub assignment_to_provisioning: Span,
}

impl Profile {
    /// Durations as people report them.
    #[must_use]
    pub const fn realistic() -> Self {
        Self {
            name: "realistic",
            assignment: Span::ms(2_000, 6_000),
            provisioning: Span::ms(2_000, 5_000),
            aws_lag: Span::ms(0, 1_500),
            entra_create_lag: Span::ms(3_000, 12_000),
            entra_update_lag: Span::ms(0, 2_000),
            synchronization_warm_up: Span::ms(5_000, 15_000),
            cycle: Span::ms(2_000, 8_000),
            assignment_to_provisioning: Span::ms(0, 5_000),
        }
    }

    /// The same order of events in a hundredth of the time. Never zero: a test that passes only because
    /// everything is immediate proves nothing.
    #[must_use]
    pub const fn fast() -> Self {
        Self {
            name: "fast",
            assignment: Span::ms(20, 80),
            provisioning: Span::ms(20, 60),
            aws_lag: Span::ms(0, 20),
            entra_create_lag: Span::ms(20, 120),
            entra_update_lag: Span::ms(0, 20),
            synchronization_warm_up: Span::ms(20, 100),
            cycle: Span::ms(20, 80),
            assignment_to_provisioning: Span::ms(0, 40),
        }
    }
}
