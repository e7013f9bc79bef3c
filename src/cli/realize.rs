//! `mkimg realize`: recipe to image; prints its path.

use std::time::Duration;

use serde_json::json;

use super::args::Realize;
use super::context::Context;
use super::failure::Failure;
use super::output;
use crate::session::{RealizeOptions, check_link};

pub(super) fn run(context: &Context<'_>, args: &Realize) -> Result<(), Failure> {
    let opened = context.open(args.target.recipe.as_deref())?;
    if let Some(link) = &args.out_link {
        check_link(link)?;
    }
    let made = opened.realize_with(&RealizeOptions {
        verify: args.verify,
        ..args.target.realize(&args.lock, &args.substitutes)
    })?;
    if let Some(link) = &args.out_link
        && let Some(error) = made.out_link(link)?
    {
        let text = format!("`{}` does not keep the image: {error}", link.display());
        context.session.warn(text);
    }
    let realized = &made.realized;
    if realized.up_to_date {
        let lines = made.summary(args.verify, Duration::ZERO);
        lines.iter().for_each(|line| context.terminal.line(line));
    }
    let path = realized.path.display().to_string();
    if args.json {
        let mut value = realized.image.json();
        value["path"] = json!(path);
        value["up_to_date"] = json!(realized.up_to_date);
        value["from"] = json!(made.taken.map(|taken| {
            json!({
                "digest": format!("sha256:{}", taken.digest),
                "place": taken.place,
                "signers": taken.signers,
            })
        }));
        return output::print_json(&value);
    }
    output::print(&format!("{path}\n"))
}
