//! What do a brain's doors need? Settings that agree with each other, and a port.

use megabrain_gateway::Gateway;

use crate::brain::Brain;
use crate::connection::Connection;

/// Why the doors of a brain could not be opened here, if they could not.
pub(super) fn missing(brain: &Brain) -> Option<String> {
    let doors = &brain.gateway;
    // A brain of this name that runs has the port.
    let is_running = Connection::of_running_brain(Some(&brain.brain.name)).is_ok();
    let checked = Gateway::check(doors).and_then(|()| if is_running { Ok(()) } else { Gateway::check_address(doors) });
    checked.err().filter(|_| doors.enabled).map(|error| format!("http: {error}"))
}
