//! Raises a lab with clients and a daemon, says so, and waits to be ended: by the
//! test that looks at what is left of it.

use std::{env, thread, time::Duration};

use anyhow::Result;
use lapwing_tests::lab::{
    lapwing::Settings,
    load::Plan,
    topology::{Lab, Site},
};

fn main() -> Result<()> {
    let lab = Lab::start()?;
    lab.announce(Site::Ams1)?;
    let _load = lab.load(Plan::steady(200))?;
    let _daemon = lab.fra1.lapwing(&Settings::new())?;
    println!("READY");
    if env::var("LAPWING_LAB_MARKER").is_ok_and(|marker| marker.ends_with("Panic")) {
        thread::sleep(Duration::from_millis(500));
        panic!("on purpose");
    }
    thread::sleep(Duration::from_mins(2));
    Ok(())
}
