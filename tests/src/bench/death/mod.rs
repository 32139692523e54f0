//! One death under load: what the agent tells of it, and the story of one call.

mod drawing;
mod moment;
mod sip;
mod story;

pub use drawing::draw;
pub use moment::Death;
pub use story::{Event, Story, Who};

use crate::failure::Error;
use crate::rig::{Capture, Report, Rig};

/// The story of the median call of a run that `run` makes while the wire is listened to; `fault`
/// says what happens to its node.
pub fn story_of_a_run(
    rig: &mut Rig,
    fault: &str,
    run: impl FnOnce(&mut Rig) -> Result<(Report, Death), Error>,
) -> Result<Story, Error> {
    let block = rig.block;
    let capture = Capture::start(rig, &sip::filter(&block))?;
    let (report, death) = run(rig)?;
    let captured = capture.stop(rig)?;
    let call = story::median(&report).ok_or("no call moved with a pause")?;
    let sip = sip::moments(&captured, &block, call.call, death.at)?;
    Ok(story::tell(&report, &death, call, &sip, fault))
}
