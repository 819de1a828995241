//! Reasons and condition types: stable words that status, logs and metrics share.

use std::fmt;

/// Declares an enum whose variants are written as their own names.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $word:ident,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum $name { $($(#[$doc])* $word,)+ }

        impl $name {
            /// Every word, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$word,)+];

            /// The word as status, logs and metrics write it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$word => stringify!($word),)+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

words! {
    /// Why a mode, a gate or a condition is what it is.
    Reason {
        /// XDP in the driver.
        Native,
        /// XDP in the network stack.
        Generic,
        /// A TCX link.
        Tcx,
        /// A filter on the clsact qdisc.
        Clsact,
        /// Nothing is attached.
        None,
        /// The policy says `Disabled`.
        Disabled,
        /// The node is paused.
        Paused,
        /// The kernel refuses for want of a capability, or by seccomp, an LSM or lockdown.
        PermissionDenied,
        /// The kernel or the device does not have it.
        NotSupported,
        /// The driver refused the program.
        DriverRejected,
        /// The interface's MTU is above what the driver's XDP takes.
        MtuTooLarge,
        /// Another owner was there first: a foreign program, or an older transport.
        Conflict,
        /// No interface carries outside traffic.
        NoUplink,
        /// Packets arrive in a tunnel.
        Overlay,
        /// The queue already has a socket.
        QueueBusy,
        /// No socket is bound behind the relay.
        NoSocket,
        /// The kernel's path did not admit the flow.
        NoAdmission,
        /// Known not to work on this kernel or driver.
        KnownBad,
        /// The probe itself went wrong: unknown is not closed.
        ProbeFailed,
        /// Put back after it made things worse.
        Reverted,
        /// Condition `Accepted`: the object is in force.
        Accepted,
        /// Condition `Accepted`: a field does not hold what it must.
        Invalid,
        /// Condition `Ready`: every node does what was required.
        Ready,
        /// Condition `Ready`: some node does not.
        NotReady,
        /// Condition `Degraded`: every node does what was preferred.
        AsPreferred,
        /// Condition `Ready`: the agents of some nodes have not taken it up yet.
        Pending,
        /// The agent of the node has not reported for long, or never.
        Silent,
    }
}

words! {
    /// Types of conditions in `status.conditions`.
    ConditionType {
        /// The object is valid and has no older rival.
        Accepted,
        /// What the object requires is met.
        Ready,
        /// A lower rung than preferred is in force.
        Degraded,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The stable reasons of the contract, in its order.
    const STABLE: &str = "Native Generic Tcx Clsact None Disabled Paused PermissionDenied \
        NotSupported DriverRejected MtuTooLarge Conflict NoUplink Overlay QueueBusy NoSocket \
        NoAdmission KnownBad ProbeFailed Reverted";

    #[test]
    fn the_stable_reasons_come_first_and_keep_their_names() {
        let names: Vec<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        let stable: Vec<_> = STABLE.split_whitespace().collect();
        assert_eq!(names[..stable.len()], stable);
    }

    #[test]
    fn a_reason_displays_as_its_name() {
        assert_eq!(format!("{:>8}", Reason::Tcx), "     Tcx");
        assert_eq!(ConditionType::Accepted.to_string(), "Accepted");
    }
}
