//! `mkimg realize`: recipe to image; prints its path.

use std::time::Duration;

use serde_json::{Value, json};

use super::args::Realize;
use super::context::Context;
use super::failure::Failure;
use super::output;
use crate::session::{Loaded, RealizeOptions, check_link};

pub(super) fn run(context: &Context<'_>, args: &Realize) -> Result<(), Failure> {
    let opened = context.open(args.target.recipe.as_deref())?;
    if let Some(link) = &args.out_link {
        if args.variants.all_variants {
            return Err(Failure::usage(
                "`--out-link` is a link to one image",
                "leave `--all-variants` out, and name one with `--variant`",
            ));
        }
        check_link(link)?;
    }
    let each = context.variants(opened, &args.variants)?;
    let mut values = Vec::new();
    for opened in &each {
        let value = one(context, args, opened)?;
        if !args.json {
            let path = value["path"].as_str().unwrap_or_default();
            output::print(&format!("{path}\n"))?;
        }
        values.push(value);
    }
    match (args.json, args.variants.all_variants) {
        (false, _) => Ok(()),
        (true, true) => output::print_json(&Value::Array(values)),
        (true, false) => output::print_json(&values.remove(0)),
    }
}

/// Realizes one variant of a recipe; returns what is printed of it.
fn one(context: &Context<'_>, args: &Realize, opened: &Loaded<'_>) -> Result<Value, Failure> {
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
        let lines = made.summary(opened, args.verify, Duration::ZERO);
        lines.iter().for_each(|line| context.terminal.line(line));
    }
    let path = realized.path.display().to_string();
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
    if let Some(variant) = opened.variant() {
        value["variant"] = json!(variant);
    }
    Ok(value)
}
